"""`requestMetadata`: labels of a call for the invocation logs of the AWS account.

AWS accepts at most 16 pairs, of the characters that botocore's service model lists. The id of a person is logged as the
first 32 hexadecimal digits of its SHA-256: whoever has the id can find its calls.
"""

import hashlib
import re
from collections.abc import Mapping

_LABEL = re.compile(r"[a-zA-Z0-9\s:_@$#=/+,.-]{0,256}\Z", re.ASCII)
_MAX = 16


def request_metadata(
    people: Mapping[str, str | None], labels: Mapping[str, object] | None
) -> tuple[dict[str, str], list[str]]:
    """Return the labels of a call, and the names of those in `labels` that AWS refuses.

    Args:
        people: ids of people, by the name of the label. labels: all other labels of the caller.
    """
    noted = {
        name: hashlib.sha256(person.encode("utf-8", "surrogatepass")).hexdigest()[:32]
        for name, person in people.items()
        if person
    }
    unfit = []
    for name, value in (labels or {}).items():
        has_room = name not in noted and len(noted) < _MAX
        if has_room and isinstance(value, str) and _LABEL.match(value) and name and _LABEL.match(name):
            noted[name] = value
        else:
            unfit.append(name)
    return noted, unfit
