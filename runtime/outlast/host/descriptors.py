"""How many connections a process may hold, by its limit of descriptors."""

from __future__ import annotations

from outlast.core.errors import OutlastError

CONNECTIONS_MIN = 16
CONNECTIONS_MAX = 10_000
"""The default is never higher, since a connection takes some kilobytes."""

PROBED_MAX = 8
"""Connections beyond the limit, which may only ask about this instance's health."""

_FILES = 56
"""An instance at rest has about 25 descriptors; the rest is for files and for calls of functions."""


class TooFewDescriptors(OutlastError):
    """More connections were asked for than the process's limit of descriptors allows."""

    code = "start_refused"


def connections_max(chosen: int | None, db_connections: int) -> int:
    """How many callers' connections one process may hold.

    The default is what its descriptors (`RLIMIT_NOFILE`) leave besides the database's connections, files,
    health checks and a quarter for what functions open. Raises TooFewDescriptors if `chosen` is more than
    that without the quarter.
    """
    import resource  # missing on Windows, where only tests run

    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if limit == resource.RLIM_INFINITY:
        return chosen or CONNECTIONS_MAX
    free = limit - db_connections - PROBED_MAX - _FILES
    if chosen is None:
        return max(CONNECTIONS_MIN, min(CONNECTIONS_MAX, free, limit - limit // 4 - db_connections))
    if chosen > free:
        raise TooFewDescriptors(
            f"OUTLAST_CONNECTIONS_MAX={chosen}: this process may open {limit} files and sockets, "
            f"which leaves {max(free, 0)} for connections: set that or less, or raise the limit (ulimit -n)"
        )
    return chosen
