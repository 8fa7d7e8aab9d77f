"""Outcrop: an HTTP gateway before Amazon Bedrock."""

__version__ = "0.1.0"
