"""The common base of bodies on a loop and bodies in a thread: it gets the state from the execution."""

from __future__ import annotations

from outlast.engine.execution.execution import Execution
from outlast.sdk.running import Body, OpenSaga


class ExecutedBody(Body):
    """A body that an execution runs."""

    def __init__(self, execution: Execution) -> None:
        self._execution = execution

    def tell_unawaited(self, name: str, place: str) -> None:
        self._execution.tell_unawaited(name, place)

    @property
    def now_s(self) -> float:
        return self._execution.recording.now_s

    @property
    def goes_on(self) -> bool:
        return self._execution.stopped is None

    def open_saga(self, saga: OpenSaga) -> None:
        self._execution.sagas[saga] = None

    def close_saga(self, saga: OpenSaga) -> None:
        self._execution.sagas.pop(saga, None)
