"""What an execution drives, and by what it does what a body asks for."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from outlast.core.records import StepRecord
from outlast.engine.calls import Failure, PendingCall, Success

if TYPE_CHECKING:
    from outlast.engine.execution import Execution


class Driven(Protocol):
    """A body as its execution drives it."""

    @property
    def over(self) -> bool:
        """Whether it has returned or raised."""
        ...

    def run(self, next_completion: Callable[[], bool], waited_for: bool) -> bool | None:
        """Let it go on; whether it is at rest. None: it will call or end.

        At rest it asks `next_completion` to hand over another, which tells whether it did; where it isn't
        waited for, it asks at once.
        """
        ...

    def unwind(self) -> None:
        """End it: the execution was stopped."""
        ...


class Operations(Protocol):
    """How the operations of bodies are done."""

    def begin(self, execution: Execution, call: PendingCall) -> None:
        """Do it, as it has no completion on record."""
        ...

    def end(self, execution: Execution, call: PendingCall, outcome: Success | Failure) -> None:
        """Record what it came to."""
        ...

    def value(self, call: PendingCall, record: StepRecord) -> Any:
        """What a recorded completion gives the body. Whatever it raises says that it no longer fits."""
        ...

    def failure(self, execution: Execution, call: PendingCall, record: StepRecord) -> Exception:
        """What a recorded error raises in the body."""
        ...

    def leave(self, execution: Execution) -> None:
        """Leave the memory if the body only waits, for long; else record what it waits for."""
        ...
