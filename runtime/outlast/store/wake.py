"""The migration that wakes a host which has scaled to zero: wake.sql with a project's own URL."""

from __future__ import annotations

import re
from importlib.resources import files
from urllib.parse import urlsplit

from outlast.core.errors import OutlastError

_URL = re.compile(r"[A-Za-z0-9:/._~%\[\]-]{1,2000}")
_LOCAL = re.compile(r"localhost|.*\.localhost|127(\.\d{1,3}){3}|::1|host\.docker\.internal")


class BadWakeUrl(OutlastError):
    """The URL isn't one at which a database could wake a host. The message says why."""

    code = "bad_wake_url"


def wake_migration(url: str, every_s: int) -> str:
    """The SQL of the migration. `url` is the host's public one, without a path, or with that of a proxy.

    Raises BadWakeUrl.
    """
    template = (files(__package__) / "wake.sql").read_text("utf-8")
    quoted = "'" + _check(url).replace("'", "''") + "'"
    return template.replace("{{url}}", quoted).replace("{{every_s}}", str(int(every_s)))


def _check(url: str) -> str:
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise BadWakeUrl(f"{url!r:.200} is no URL: {error}") from None
    if "@" in parts.netloc or "?" in url or "#" in url:
        raise BadWakeUrl("the URL must hold no user, password, query or fragment: it is kept in a migration")
    if not host or parts.scheme not in ("http", "https") or not _URL.fullmatch(url):
        raise BadWakeUrl(f"{url!r:.200} is no URL of a host, such as https://outlast.example.com")
    if parts.scheme == "http" and not _LOCAL.fullmatch(host):
        raise BadWakeUrl(f"{url} is not encrypted: use https://, or a host on this machine")
    return url.rstrip("/")
