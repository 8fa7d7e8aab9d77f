"""The caller of a request."""

from msgspec import Struct


class Caller(Struct, frozen=True):
    """The holder of a key, by the key's name."""

    name: str


ANONYMOUS = Caller("anonymous")
