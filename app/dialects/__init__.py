"""The HTTP APIs that callers use. Dialects do not import each other; what they share is in `dialects.http`."""
