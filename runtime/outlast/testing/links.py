"""The way of one instance to a database in memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

from outlast.testing.rows import Transaction

T = TypeVar("T")


class Link(Protocol):
    """How statements get there: at once, or as a simulated network lets them."""

    @property
    def session(self) -> int | None:
        """The session of its lease; None through a pooler."""

    async def call(self, what: str, statement: Callable[[], T], within: Transaction | None = None) -> T:
        """Run `statement` there; what it returned or raised. Raises Unreachable: in doubt.

        `within`: the transaction it belongs to; one that ended with its connection is unreachable.
        """

    def when_lost(self, call: Callable[[], None]) -> None:
        """See InstanceStore."""

    def when_due(self, call: Callable[[], None]) -> None:
        """See InstanceStore."""

    def abandon(self, transaction: Transaction) -> None:
        """Roll back, now or when the database gets to know that the connection is gone."""
