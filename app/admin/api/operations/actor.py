"""Who carries out an operation."""

from msgspec import Struct


class Actor(Struct, frozen=True):
    """Who carries out an operation, and from where, for the audit log.

    name: such as `key:ops` of an administrator's key. address: of the client; empty on this machine.
    """

    name: str
    address: str = ""
    request_id: str = ""
