"""The limit of file descriptors. A request takes two: its caller's connection, and one to Bedrock."""

import contextlib
import resource


def allow_descriptors(requests: int) -> list[str]:
    """Raise the soft limit to the hard one, as Go's runtime does; returns a warning if so many requests need more.

    At the limit the event loop resets connections, and no line of the log tells of them.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):  # macOS refuses an infinite one
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limit == resource.RLIM_INFINITY or limit >= 2 * requests:
        return []
    return [
        f"this process may open {limit} file descriptors, and MAX_IN_FLIGHT allows {requests} requests, of which each "
        "takes two: raise `ulimit -n`, or lower MAX_IN_FLIGHT"
    ]
