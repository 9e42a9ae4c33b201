"""`Queue` and `Limit`: how many run at once, how fast they begin, and in which order.

Also Supabase Queues.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from outlast.core.errors import UsageError
from outlast.core.queues import BACKLOG_MAX, check_consumed, check_option, check_together
from outlast.sdk.durations import Duration, positive_seconds_of

PREFIX = "pgmq:"
_PGMQ_NAME = re.compile(r"[a-z0-9_-]{1,47}")
"""As Supabase's dashboard makes them. pgmq itself takes no longer names, and ignores case."""

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,254}")


@dataclass(frozen=True, slots=True)
class Rate:
    """At most `n` in any period of `per` (seconds or a timedelta); with `smooth` evenly spread over it."""

    n: int
    per: Duration
    smooth: bool = False

    def document(self, what: str) -> dict[str, Any]:
        """As the database stores it. Raises UsageError."""
        document = {"n": self.n, "per": positive_seconds_of(self.per, f"{what}: Rate(per)")}
        return {**document, "smooth": True} if self.smooth else document


@dataclass(frozen=True, slots=True)
class Debounce:
    """A call waits until its key was `quiet` for this long, but no longer than `at_most` (10 × `quiet`)."""

    quiet: Duration
    at_most: Duration | None = None

    def document(self, what: str) -> dict[str, Any]:
        """As the database stores it. Raises UsageError."""
        quiet_s = positive_seconds_of(self.quiet, f"{what}: Debounce(quiet)")
        assert quiet_s is not None
        at_most_s = positive_seconds_of(self.at_most, f"{what}: Debounce(at_most)") or 10 * quiet_s
        if at_most_s < quiet_s:
            raise UsageError(f"{what}: Debounce(at_most) is no shorter than quiet, not {self.at_most!r}")
        return {"quiet": quiet_s, "at_most": at_most_s}


@dataclass(frozen=True, slots=True)
class Batch:
    """Up to `n` calls of a key become one workflow, once there are `n` or one has waited for `wait`."""

    n: int
    wait: Duration

    def document(self, what: str) -> dict[str, Any]:
        """As the database stores it. Raises UsageError."""
        return {"n": self.n, "wait": positive_seconds_of(self.wait, f"{what}: Batch(wait)")}


class Queue:
    """Where workflows wait for their turn. Make one in a function file, and name it: `@workflow(queue=mail)`.

    `name` is a letter, then letters, digits, "_" and "-"; or "pgmq:NAME" for a Supabase Queue, whose messages
    start the workflow and which takes the same limits.

    - `key`: whose turn it is: a dotted path into the input (`"customer.id"`), or a function of the workflow's
      arguments. Keys take turns; `weight` gives some of them more or fewer (`{"acme": 5}`, 0.01 to 100).
    - `concurrency`, `per_key`, `per_instance`: how many run at once. What sleeps or waits doesn't run.
    - `exclusive`: one workflow of a key at a time over its whole life, sleeps included, in order. `on_busy`
      says what another call does meanwhile: "wait", "attach" (it gets the same result), "skip" (it is
      refused), "replace" (the old one is cancelled).
    - `rate`, `rate_per_key`: how many begin in a time. `drop`: what is over it is refused.
    - `debounce`: of the calls of a key that come soon after each other one runs, with the last input.
    - `batch`: the function gets a list of the inputs of up to 1,000 calls, and returns a list as long, of
      which each caller gets its element. Limits count batches.
    - `max_backlog`: how many may wait; what comes then is refused. `start_within`: what hasn't begun after so
      long (seconds or a timedelta) is cancelled.

    Raises UsageError for options that can't be, or don't go together.
    """

    __slots__ = ("key", "name", "options", "place")

    def __init__(
        self,
        name: str,
        *,
        key: str | Callable[..., Any] | None = None,
        concurrency: int | None = None,
        per_key: int | None = None,
        per_instance: int | None = None,
        exclusive: bool = False,
        on_busy: Literal["wait", "attach", "skip", "replace"] = "wait",
        rate: Rate | None = None,
        rate_per_key: Rate | None = None,
        drop: Rate | None = None,
        debounce: Debounce | None = None,
        batch: Batch | None = None,
        weight: Mapping[str, float] | None = None,
        max_backlog: int = BACKLOG_MAX,
        start_within: Duration | None = None,
    ) -> None:
        what = f"Queue({name!r})"
        frame = sys._getframe(1)
        self.place = frame.f_code.co_filename, frame.f_lineno
        """File and line where the queue was made."""
        self.name = _check_name(name)
        self.key = key if callable(key) else None
        """The function that computes the key from the workflow's arguments, if there is one."""
        rates = {"rate": rate, "rate_per_key": rate_per_key, "drop": drop}
        given: dict[str, Any] = {
            "key": True if callable(key) else key,
            "concurrency": concurrency,
            "per_key": per_key,
            "per_instance": per_instance,
            "exclusive": exclusive or None,
            "on_busy": None if on_busy == "wait" else on_busy,
            **{each: _document(rate, Rate, each, what) for each, rate in rates.items()},
            "debounce": _document(debounce, Debounce, "debounce", what),
            "batch": _document(batch, Batch, "batch", what),
            "weight": dict(weight) if isinstance(weight, Mapping) else weight,
            "max_backlog": None if max_backlog == BACKLOG_MAX else max_backlog,
            "start_within": positive_seconds_of(start_within, f"{what}: start_within"),
        }
        self.options = {option: value for option, value in given.items() if value is not None}
        """As the database stores them: see core.queues.OPTIONS."""
        try:
            for option, value in self.options.items():
                check_option(option, value)
            check_together(self.options)
            check_consumed(self.options, self.consumes)
        except ValueError as error:
            raise UsageError(f"{what}: {error}") from None

    def __repr__(self) -> str:
        options = "".join(f", {name}={value!r}" for name, value in self.options.items())
        return f"Queue({self.name!r}{options})"

    @property
    def batches(self) -> bool:
        """Whether its functions take many inputs at once."""
        return "batch" in self.options

    @property
    def consumes(self) -> str | None:
        """The name of the Supabase Queue that it consumes."""
        return self.name.removeprefix(PREFIX) if self.name.startswith(PREFIX) else None


def queue_of(queue: Queue | str | None) -> Queue | None:
    """The queue of `start(queue=)`: a Queue, or the name of one. Raises UsageError."""
    return queue if queue is None or isinstance(queue, Queue) else Queue(queue)


def declared_queue(queue: Queue | str | None) -> Queue | None:
    """The queue of `workflow(queue=)`: a Queue, or a Supabase Queue by its name. Raises UsageError."""
    if isinstance(queue, str) and queue.startswith(PREFIX):
        return Queue(queue)
    if queue is None or isinstance(queue, Queue):
        return queue
    raise UsageError(
        f'workflow(queue) takes a Queue, or names a Supabase Queue, "pgmq:NAME", not {queue!r:.100}'
    )


def _check_name(name: str) -> str:
    if isinstance(name, str) and name.startswith(PREFIX):
        if not _PGMQ_NAME.fullmatch(name.removeprefix(PREFIX)):
            raise UsageError(
                'a Supabase Queue is "pgmq:NAME", with up to 47 lower-case letters, digits, "_" and "-", '
                f"not {name!r:.100}"
            )
    elif not isinstance(name, str) or not _NAME.fullmatch(name):
        raise UsageError(
            'a queue\'s name is a letter, then letters, digits, "_" and "-" (255 at most); '
            f'that of a Supabase Queue is "pgmq:NAME"; not {name!r:.100}'
        )
    return name


def _document(
    value: Any, kind: type[Rate | Debounce | Batch], option: str, what: str
) -> dict[str, Any] | None:
    if value is None:
        return None
    if not isinstance(value, kind):
        raise UsageError(f"{what}: {option} takes a {kind.__name__}(…), not {value!r:.100}")
    return value.document(what)


_LIMIT_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,249}")


class Limit:
    """A limit that steps share by its name: `@step(limit=Limit("openai", rate=Rate(60, per=60)))`.

    `rate` says how many begin in a time, `concurrency` how many run at once, on all instances together. Each
    step takes its place before it begins; a workflow that would wait long for one leaves the memory. Its
    further attempts take no new place. Raises UsageError.
    """

    __slots__ = ("name", "options")

    def __init__(self, name: str, *, rate: Rate | None = None, concurrency: int | None = None) -> None:
        if not isinstance(name, str) or not _LIMIT_NAME.fullmatch(name):
            raise UsageError(
                f'a limit\'s name is a letter, then letters, digits, "_" and "-", not {name!r:.100}'
            )
        what = f"Limit({name!r})"
        self.name = name
        given = {"rate": _document(rate, Rate, "rate", what), "concurrency": concurrency}
        self.options: dict[str, Any] = {each: value for each, value in given.items() if value is not None}
        """As the database stores them."""
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
    """Raises UsageError if it isn't a limit."""
    if limit is not None and not isinstance(limit, Limit):
        raise UsageError(
            f'{what} takes a Limit, such as Limit("openai", rate=Rate(60, per=60)), not {limit!r:.100}'
        )
    return limit
