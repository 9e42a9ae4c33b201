"""What one attempt of a step emits, until it is over."""

from __future__ import annotations

from outlast.core.emissions import Emission
from outlast.engine.execution.calls import PendingCall
from outlast.engine.execution.execution import Execution


class Emitter:
    """Called with each value, from the threads of the step too."""

    __slots__ = ("_attempt", "_emissions", "_number", "_of")

    def __init__(self, execution: Execution, call: PendingCall) -> None:
        self._emissions = execution.services.emissions
        self._of: tuple[Execution, PendingCall] | None = execution, call
        """None when it is over: a call has a context, which has this, and that would never be freed."""
        self._attempt = call.attempt
        self._number = 0

    def __call__(self, value: str) -> None:
        """Tell JSON text to those who listen. Of an attempt that is over nothing is told any more."""
        with self._emissions.lock:
            # guard: emits-after-its-end
            if self._of is None:
                return
            execution, call = self._of
            self._number += 1
            listeners = self._emissions.of(execution.workflow_id)
            if listeners is None:
                return
            emission = Emission(
                call.step_id,
                call.operation.name,
                execution.epoch,
                self._attempt,
                self._number,
                value,
                execution.recording.completions.last,
            )
            for each in listeners:
                each.put(emission)

    def end(self) -> None:
        """The attempt is over."""
        with self._emissions.lock:
            self._of = None
