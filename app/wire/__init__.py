"""Pure codecs: JSON, server-sent events, AWS event streams and Signature Version 4."""
