"""Where a failure comes from: an exception carries the records that it was handed to the body as.

A workflow that fails says which those are: what is dropped when it is retried.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress

_STEP = "__outlast_step__"
_UNDONE = "__outlast_undone__"
_STANDING = "__outlast_standing__"
"""Names that no record of an exception keeps."""

VISITED_MAX = 1_000
STEPS_MAX = 1_000


def mark_step(error: BaseException, step_id: str) -> None:
    """It is the failure that is recorded at `step_id`."""
    with suppress(Exception):  # a foreign class may refuse attributes
        error.__dict__[_STEP] = step_id


def mark_undone(error: BaseException, notes: Iterable[str]) -> None:
    """Because of it a saga has undone what these records note."""
    with suppress(Exception):
        error.__dict__[_UNDONE] = [*error.__dict__.get(_UNDONE, ()), *notes]


def mark_standing(error: BaseException, notes: Iterable[str]) -> None:
    """It says what could not be undone, which these records note: they answer whether it is tried again."""
    error.__dict__[_STANDING] = list(notes)


def standing_of(error: BaseException) -> list[str]:
    """What it was marked with by `mark_standing`."""
    return list(error.__dict__.get(_STANDING, ()))


def origins_of(error: BaseException, last_timed: str | None = None) -> tuple[list[str], list[str]]:
    """The step ids of the failures that `error` comes from, and of notes of what was undone because of it.

    `last_timed`: what was handed to the body last of what has a time. No record calls it a failure that this
    is over: it is taken for the origin of a TimeoutError that has none.
    """
    steps: list[str] = []
    undone: list[str] = []
    late = False
    for each in _chain(error):
        held = getattr(each, "__dict__", {})
        undone += held.get(_UNDONE, ())
        if _STEP in held:
            steps.append(held[_STEP])
        late = late or isinstance(each, TimeoutError)
    if not steps and late and last_timed is not None:
        steps.append(last_timed)
    return list(dict.fromkeys(steps))[:STEPS_MAX], list(dict.fromkeys(undone))[:STEPS_MAX]


def _chain(error: BaseException) -> Iterator[BaseException]:
    """It, the members of its groups, and what it was raised from, up to the failures of records."""
    todo, seen = [error], {id(error)}
    while todo and len(seen) <= VISITED_MAX:
        each = todo.pop()
        yield each
        # What was raised while a failure was handled comes from its own record alone.
        more: list[BaseException | None] = [each.__cause__, each.__context__]
        # guard: handled-failures-dropped
        if comes_from_record(each):
            more = []
        if isinstance(each, BaseExceptionGroup):
            more += each.exceptions
        for other in more:
            if other is not None and id(other) not in seen:
                seen.add(id(other))
                todo.append(other)


def comes_from_record(error: BaseException) -> bool:
    """Whether it is the failure of a step or a child, as `mark_step` says."""
    return _STEP in getattr(error, "__dict__", {})
