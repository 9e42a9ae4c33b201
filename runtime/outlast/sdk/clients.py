"""What the host offers behind `context().supabase`: this floor knows no Supabase library."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from outlast.core.callers import Caller, CallerToken


class Clients(Protocol):
    """The Supabase clients of one running function: made at first use, closed with it."""

    @property
    def token(self) -> CallerToken | None:
        """The caller's token, where this process has it."""

    def of_caller(self, *, blocking: bool) -> Any:
        """A client that acts for the caller. Raises UsageError, CallerTokenGone."""

    def of_service(self, *, blocking: bool) -> Any:
        """A client with the project's secret key. Raises UsageError."""

    async def close(self) -> None:
        """Close what was made. Idempotent; never raises."""


MakeClients = Callable[[Caller, CallerToken | None], Clients]
"""The clients for one caller."""
