"""What a request for a function that can't be served is told. Public text: no paths, no source."""

from __future__ import annotations

from outlast.core.errors import OutlastError


class FunctionMissing(OutlastError):
    """No function is served under this path."""

    code = "NOT_FOUND"


class FunctionBroken(OutlastError):
    """The function's file can't be imported, or offers nothing to serve. The log has file and line."""

    code = "BOOT_ERROR"
