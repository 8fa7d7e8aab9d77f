"""Logs, metrics and traces. None of them ever holds content of a request or a response."""
