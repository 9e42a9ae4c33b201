"""`Limit`: how many steps of a name run at once and how fast they begin, in all functions together."""

from __future__ import annotations

import re
from typing import Any

from outlast.core.errors import UsageError
from outlast.core.queues import check_option
from outlast.sdk.queues import Rate, rate_document

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,249}")


class Limit:
    """A limit that steps share by its name: `@step(limit=Limit("openai", rate=Rate(60, per=60)))`.

    `rate` says how many begin in a time, `concurrency` how many run at once, on all instances together. Each
    step takes its place before it begins; a workflow that would wait long for one leaves the memory. Its
    further attempts take no new place. Raises UsageError.
    """

    __slots__ = ("name", "options")

    def __init__(self, name: str, *, rate: Rate | None = None, concurrency: int | None = None) -> None:
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise UsageError(
                f'a limit\'s name is a letter, then letters, digits, "_" and "-", not {name!r:.100}'
            )
        what = f"Limit({name!r})"
        self.name = name
        self.options: dict[str, Any] = {}
        """As the database knows them."""
        if rate is not None:
            self.options["rate"] = rate_document(rate, "rate", what)
        if concurrency is not None:
            self.options["concurrency"] = concurrency
        if not self.options:
            raise UsageError(f"{what} limits nothing: give it a rate, a concurrency, or both")
        try:
            for option, value in self.options.items():
                check_option(option, value)
        except ValueError as error:
            raise UsageError(f"{what}: {error}") from None

    def __repr__(self) -> str:
        return f"Limit({self.name!r}, {self.options!r})"


def limit_of(limit: Limit | None, what: str) -> Limit | None:
    """Raises UsageError for what is no limit."""
    if limit is not None and not isinstance(limit, Limit):
        raise UsageError(
            f'{what} takes a Limit, such as Limit("openai", rate=Rate(60, per=60)), not {limit!r:.100}'
        )
    return limit
