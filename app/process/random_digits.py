"""Random hexadecimal digits for identifiers. The system is asked for many at a time, since each call costs as much."""

import os

_BYTES_EACH = 16
_EACH = 2 * _BYTES_EACH
_AT_ONCE = 64
_unused: list[str] = []
# a forked process would use the same ones
os.register_at_fork(after_in_child=_unused.clear)


def random_digits() -> str:
    """Return 32 digits that no other call returns."""
    try:
        return _unused.pop()
    except IndexError:  # of threads, several may be here
        digits = os.urandom(_BYTES_EACH * _AT_ONCE).hex()
        _unused.extend([digits[start : start + _EACH] for start in range(_EACH, len(digits), _EACH)])
        return digits[:_EACH]
