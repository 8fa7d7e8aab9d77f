"""Checks of certificates and private keys."""

import ssl
from collections.abc import Callable


def refuse_password() -> str:
    """Return no password for an encrypted key, so that OpenSSL does not ask for one on the terminal."""
    return ""


def try_pem(load: Callable[[], object]) -> None:
    """Run what loads a PEM file. Raises ValueError: it cannot be read, or is not PEM."""
    try:
        load()
    except OSError as error:
        reason = error.reason if isinstance(error, ssl.SSLError) else error.strerror
        raise ValueError(f"must be a valid PEM file: {reason or error}") from None
