"""The one exception of the commands."""

from __future__ import annotations

from typing import Any

from outlast.core.errors import OutlastError


class CommandFailed(OutlastError):
    """The request can't be done: exit status 1. The message is one line with the remedy.

    `more` is added to `code` and `message` in what `--json` prints.
    """

    def __init__(self, code: str, message: str, **more: Any) -> None:
        super().__init__(message)
        self.code = code
        self.more = {name: value for name, value in more.items() if value is not None}
