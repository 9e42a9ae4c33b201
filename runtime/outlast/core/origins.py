"""Where a failure comes from: an exception remembers the records through which the body got it.

When a workflow fails, they tell which records a retry drops.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress

_STEP = "__outlast_step__"
_UNDONE = "__outlast_undone__"
_STANDING = "__outlast_standing__"
"""The record of an exception doesn't store this attribute."""

VISITED_MAX = 1_000
STEPS_MAX = 1_000


def mark_step(error: BaseException, step_id: str) -> None:
    """Mark `error` as the failure that is recorded at `step_id`."""
    with suppress(Exception):  # a foreign class may refuse attributes
        error.__dict__[_STEP] = step_id


def mark_undone(error: BaseException, notes: Iterable[str]) -> None:
    """Mark that a saga has undone the steps of these notes because of `error`."""
    with suppress(Exception):
        error.__dict__[_UNDONE] = [*error.__dict__.get(_UNDONE, ()), *notes]


def mark_standing(error: BaseException, notes: Iterable[str]) -> None:
    """Mark that `error` tells of steps that could not be undone.

    Their notes say whether that is tried again.
    """
    error.__dict__[_STANDING] = list(notes)


def standing_of(error: BaseException) -> list[str]:
    """The notes of `mark_standing`."""
    return list(error.__dict__.get(_STANDING, ()))


def origins_of(error: BaseException, last_timed: str | None = None) -> tuple[list[str], list[str]]:
    """The step ids of the failures that `error` comes from, and of notes of what was undone because of it.

    `last_timed`: the last call with a time limit that was handed to the body. No record calls its end a
    failure, so it is the origin of a TimeoutError that has no other.
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
    """It, the members of its groups, and its causes, as far as the recorded failures."""
    todo, seen = [error], {id(error)}
    while todo and len(seen) <= VISITED_MAX:
        each = todo.pop()
        yield each
        # An exception that was raised while a recorded failure was handled comes from its own record alone.
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
    """Whether it is the failure of a step or a child (see `mark_step`)."""
    return _STEP in getattr(error, "__dict__", {})
