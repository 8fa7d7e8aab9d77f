"""Labels of a call for the invocation logs of the AWS account: `requestMetadata`.

At most 16 pairs, of letters that botocore's service model lists. Who a caller's user is stays unknown to the
logs: ids of people go as the first 32 hexadecimal digits of their SHA-256, so that who knows an id finds its calls.
"""

import hashlib
import re
from collections.abc import Mapping
from typing import Any

_LABEL = re.compile(r"[a-zA-Z0-9\s:_@$#=/+,.-]{0,256}\Z", re.ASCII)
_MAX = 16


def request_metadata(
    people: Mapping[str, str | None], labels: Mapping[str, Any] | None
) -> tuple[dict[str, str], list[str]]:
    """The labels of a call, and the names of those in `labels` that AWS would refuse.

    Args:
        people: ids of people, by what they are called. labels: whatever else a caller wants noted.
    """
    noted = {
        name: hashlib.sha256(person.encode("utf-8", "surrogatepass")).hexdigest()[:32]
        for name, person in people.items()
        if person
    }
    unfit = []
    for name, value in (labels or {}).items():
        fits = isinstance(value, str) and _LABEL.match(value) and name and _LABEL.match(name)
        if fits and name not in noted and len(noted) < _MAX:
            noted[name] = value
        else:
            unfit.append(name)
    return noted, unfit
