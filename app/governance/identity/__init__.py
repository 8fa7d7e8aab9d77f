"""Identifies callers by key, SigV4 signature, token or client certificate, and says what their policy allows."""
