"""The web console at `/console`: pages that the gateway renders itself.

Only `entry` is loaded before a browser asks. docs/console.md shows the pages, .github/SECURITY.md the sessions.
"""
