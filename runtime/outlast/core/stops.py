"""Control flow that ends an execution without ending the workflow. Not errors.

All derive from `BaseException`, so that `except Exception` in a workflow lets them pass. What would wrongly
catch them::

    try:
        await charge(card)
    except:                      # also `except BaseException`
        await refund(card)       # refused: the execution is over, nothing of it shows
"""

from __future__ import annotations

from typing import Any, ClassVar

from outlast.core.errors import NonDeterminism


class Stopped(BaseException):
    """This execution is over. A later call of a step raises it again."""

    code: ClassVar[str | None] = None
    """The code of the error that the workflow ends with; None if it goes on elsewhere or has ended."""


class Suspended(Stopped):
    """The workflow waits for longer than a moment: it leaves the memory and is claimed again later."""


class LeaseLost(Stopped):
    """A write was refused: the workflow was cancelled, or another instance runs it."""


class CancelledHere(LeaseLost):
    """The workflow was cancelled by a call to this instance, and has nothing to undo."""


class Paused(LeaseLost):
    """Somebody paused the workflow: it goes on, here or elsewhere, once it is resumed."""


class HandedOver(Stopped):
    """This instance shuts down: the workflow goes on elsewhere."""


class TimedOut(Stopped):
    """The workflow passed its deadline."""

    code = "workflow_timeout"


class Cancelled(Stopped):
    """The workflow was cancelled while it had something to undo."""

    code = "workflow_cancelled"


class Diverged(Stopped):
    """The code no longer fits the records, so the workflow is held. The text says what differs.

    `recorded` and `called` are the kinds and names at `step` in the record and in the code; `place` is the
    code's file:line. `later`: the call is recorded at a later place.
    """

    code = NonDeterminism.code

    def __init__(
        self,
        message: str,
        *,
        reason: str = NonDeterminism.code,
        step: str | None = None,
        recorded: tuple[str, str] | None = None,
        called: tuple[str, str] | None = None,
        place: str | None = None,
        later: bool = False,
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.step = step
        self.recorded = recorded
        self.called = called
        self.place = place
        self.later = later


REFUSED_BY_THE_PROJECT = (
    "where a constraint, a trigger or a rule of the project's own on Outlast's tables refuses it, mend that "
    "and retry the workflow"
)
"""The remedy if the database refuses what a workflow records."""


class Broken(Stopped):
    """The engine can't continue this workflow, for example because the database refused a record.

    The text says why.
    """

    code = "not_recordable"


def stop_document(reason: Stopped) -> dict[str, Any]:
    """The record of a stop that lets the body undo first."""
    return {"code": reason.code, "message": str(reason)}


DISOWNED = "disowned"
"""The database's reason for a workflow that was cancelled while it ran. The next beat finds the rest."""


def stop_of(document: dict[str, Any]) -> Stopped:
    """The stop of a `stop_document`, or the one that the database reports (`outlast.stops_of`)."""
    if document["code"] == "paused":
        return Paused(document["message"])
    kind = TimedOut if document["code"] == TimedOut.code else Cancelled
    return kind(document["message"])
