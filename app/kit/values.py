"""What holds values, and of which every request makes some tens: `Struct`, which may be frozen.

A dataclass sets each field by a line of Python, a frozen one by a call: it takes three times as long to make, which was
8 us a request for the frozen ones alone.
"""

from msgspec import Struct, field
from msgspec.structs import replace

__all__ = ["Struct", "field", "replace"]
