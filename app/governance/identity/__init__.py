"""Identifies callers by API key or by AWS Signature Version 4."""
