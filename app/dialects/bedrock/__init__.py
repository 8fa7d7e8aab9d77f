"""The Bedrock runtime dialect, at AWS's own paths: bytes cross untouched, and only usage is listened for."""
