"""The one exception of the embedded Postgres."""

from __future__ import annotations

from outlast.core.errors import OutlastError


class EmbeddedPostgresError(OutlastError):
    """The embedded Postgres can't be used; the message says what is wrong and what to do about it.

    The first line is complete in itself. If the server or initdb failed, the last lines of its log follow.
    """

    code = "embedded_postgres"
