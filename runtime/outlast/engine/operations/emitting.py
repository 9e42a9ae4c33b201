"""What one attempt of a step emits, until it is over."""

from __future__ import annotations

from outlast.core.emissions import Emission
from outlast.engine.execution.calls import PendingCall
from outlast.engine.execution.execution import Execution


class Emitter:
    """Called with each value, from the threads of the step too."""

    __slots__ = ("_attempt", "_call", "_execution", "_number", "_over")

    def __init__(self, execution: Execution, call: PendingCall) -> None:
        self._execution = execution
        self._call = call
        self._attempt = call.attempt
        self._number = 0
        self._over = False

    def __call__(self, value: str) -> None:
        """Tell JSON text to those who listen. Of an attempt that is over nothing is told any more."""
        execution = self._execution
        emissions = execution.services.emissions
        with emissions.lock:
            # guard: emits-after-its-end
            if self._over:
                return
            self._number += 1
            listeners = emissions.of(execution.workflow_id)
            if listeners is None:
                return
            emission = Emission(
                self._call.step_id,
                self._call.operation.name,
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
        with self._execution.services.emissions.lock:
            self._over = True
