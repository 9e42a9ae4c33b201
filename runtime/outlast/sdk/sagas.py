"""`saga`: its steps are undone when it fails, times out or is cancelled."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Coroutine, Generator
from itertools import zip_longest
from types import TracebackType
from typing import TYPE_CHECKING, Any, Concatenate, NamedTuple, TypeVar, overload

from pydantic_core import from_json, to_json

from outlast.core.errors import CompensationFailed, UsageError
from outlast.core.origins import mark_standing, mark_undone
from outlast.core.stops import Stopped
from outlast.core.storable import clean_json
from outlast.core.tracebacks import described, place_of
from outlast.sdk.calls import ask
from outlast.sdk.operations import Args, Kwargs, Operation, Sleep, Undo
from outlast.sdk.running import Body, Line, StandingSaga, line_in_body, undo_here
from outlast.sdk.steps import AsyncStep, SyncStep
from outlast.sdk.transactions import AsyncTransaction, SyncTransaction
from outlast.sdk.undos import UNKNOWN, Entry, Unknown, entry_of

UNDO_WITHIN_S = 24 * 3600.0
"""An undo is retried for this long after its first try."""
BACKOFF_S, BACKOFF_FACTOR, BACKOFF_MAX_S = 1.0, 2.0, 900.0

ERROR_CHARS_MAX = 1_000
RESULT_CHARS_MAX = 1_000

R = TypeVar("R")
T = TypeVar("T")
AnyStep = AsyncStep[..., R] | SyncStep[..., R]
AnyTransaction = AsyncTransaction[..., R] | SyncTransaction[..., R]
_Alone = Callable[[R], Any]
"""An undo that takes the step's result alone, as lambdas do; otherwise it takes the step's arguments, too."""
_WithArguments = Callable[Concatenate[R, ...], Any]
_Answer = Coroutine[Any, Any, R]


class _Done(NamedTuple):
    """A step that has to be undone, and its result."""

    entry: Entry
    result: Any

    @property
    def note(self) -> str:
        """The step id of the note that was recorded before it."""
        return self.entry.note[0]

    def document(self, error: str | None = None) -> dict[str, Any]:
        """An entry of `CompensationFailed.standing`."""
        told = {"step": self.entry.step, "undo": self.entry.undo, "result": _tell_result(self.result)}
        return told if error is None else {**told, "error": error}

    def failed(self, error: Exception, wait_s: float | None = None) -> dict[str, Any]:
        """The observation of a failed try: UndoFailed, or without `wait_s` UndoGivenUp."""
        place = place_of(error)  # the failure of a step has no place here; it is in the step's own record
        text = _text(error) + (f", at {place}" if place else "")
        told = {"step": self.entry.step, "undo": self.entry.undo, "error": text}
        return told if wait_s is None else {**told, "wait_s": wait_s}


class _Try(NamedTuple):
    """A request of the plan for one try of an undo. The answer is the error that it raised, or None."""

    done: _Done


Plan = Generator[Operation | _Try, Any, T]
"""What to do, one after the other. The driver sends the result of each."""


class _Log:
    """What one saga has done, and in which order it is undone. Without I/O: a driver carries it out."""

    def __init__(self, line: Line) -> None:
        self.line = line
        self.task: asyncio.Task[Any] | None = None
        self.closed = False
        self.undone: list[str] = []
        """The ids of the notes of what was undone."""
        self._names: list[str] = []
        """The names of those steps."""
        self._done: list[_Done] = []

    @property
    def body(self) -> Body:
        """The workflow's body."""
        return self.line.body

    def standing(self) -> list[dict[str, Any]]:
        """See OpenSaga."""
        return [each.document() for each in reversed(self._done)]

    def begin(self, step: Any, args: Args, kwargs: Kwargs, undo: Any, threaded: bool) -> tuple[Entry, Undo]:
        """A step is about to begin; the note to record before. Raises UsageError."""
        self.check_open()
        entry = entry_of(step, args, kwargs, undo, threaded=threaded)
        document = to_json({"step": entry.step, "undo": entry.undo}).decode()
        return entry, Undo(f"undo {entry.step}", document, entry.note)

    def check_open(self) -> None:
        """Raise UsageError if the saga has been left, so that nothing would be undone any more."""
        # guard: done-after-its-saga
        if self.closed:
            raise UsageError("this saga has been left: call and await its do within its `with`")

    def succeeded(self, entry: Entry, result: Any) -> None:
        """The step is recorded."""
        self._done.append(_Done(entry, result))

    def failed(self, entry: Entry) -> None:
        """The step raised, or was given up. A failed transaction had no effect, and needs no undo."""
        # guard: unknown-not-undone
        if not entry.certain:
            self._done.append(_Done(entry, UNKNOWN))

    def undo_round(self) -> Plan[tuple[CompensationFailed | None, Any]]:
        """One round of undoing. Returns the error that tells what still stands, and whether to try that
        again.

        It is tried again after a retry of the workflow: at once, or `after` the body has ended with the same
        error, if the body may have made calls because of the error.
        """
        # guard: undone-in-order-of-completion = list(self._done)
        todo = list(reversed(self._done))
        if not todo:
            return None, False
        begun = _note("undoing", {"total": len(todo), "next": todo[0].note})
        yield begun
        standing = yield from self._undo_each(todo, begun.note[0])
        if not standing:
            return None, False
        stands = _note(Undo.STANDING, {"count": len(standing)})
        again = yield stands
        names = ", ".join(f"{each['step']} ({each['error']})" for each in standing)
        text = f"{len(standing)} of {len(todo)} could not be undone: {names}"
        error = CompensationFailed(text, [*self._names], standing)
        mark_standing(error, stands.note)
        return error, again

    def undo_all(self, saga: StandingSaga, left_by: BaseException) -> Plan[None]:
        """Rounds, until none is to follow. Raises CompensationFailed after the last one."""
        while True:
            error, again = yield from self.undo_round()
            if error is None:
                return
            # guard: standing-not-tried-again
            if again is True:
                continue
            saga.left_by = left_by  # not before: its traceback refers back to here
            self.body.stands(saga, error, again=bool(again))
            raise error

    def _undo_each(self, todo: list[_Done], since: str) -> Plan[list[dict[str, Any]]]:
        """Undo each; the entries of those that still stand. Before an undo begins, a record names it as the
        next one.

        So the records tell what may have been undone, however the workflow ends meanwhile. `since` is the
        record from which on this saga undoes.
        """
        standing: list[dict[str, Any]] = []
        for each, following in zip_longest(todo, todo[1:]):
            error = yield from self._undo(each)
            # guard: undo-begins-unnoted = {}
            goes_on = {} if following is None else {"next": following.note, "since": since}
            if error is not None:
                standing.append(each.document(_text(error)))
                yield _note(Undo.FAILED, {**each.failed(error), **goes_on})
                continue
            self._done.remove(each)
            self._names.append(each.entry.step)
            self.undone += each.entry.note
            document = {"step": each.entry.step, "undo": each.entry.undo, **goes_on}
            yield Undo(Undo.UNDONE, to_json(document).decode(), each.entry.note)
        return standing

    def _undo(self, done: _Done) -> Plan[Exception | None]:
        """Try until it succeeds or its time is over; then the last error."""
        began_s, wait_s = self.body.now_s, BACKOFF_S
        while True:
            error = yield _Try(done)
            if error is None:
                return None
            left_s = began_s + UNDO_WITHIN_S - self.body.now_s
            if left_s <= 0:
                return error  # type: ignore[no-any-return]
            wait_s = min(wait_s, left_s)
            # guard: undo-fails-in-silence
            yield _note(Undo.FAILED, done.failed(error, wait_s))
            # guard: undo-tried-once
            yield Sleep(wait_s)
            wait_s = min(BACKOFF_MAX_S, wait_s * BACKOFF_FACTOR)


class _Entered:
    """A saga whose block was entered. Once it is left it may be a StandingSaga."""

    left_by: BaseException | None = None

    def __init__(self, line: Line) -> None:
        self._log = _Log(line)
        line.body.open_saga(self._log)

    @property
    def undone(self) -> list[str]:
        """The ids of the notes of what was undone."""
        return self._log.undone

    def undo_again(self) -> Any:
        """Undo again what stands (see `_Log.undo_round`). In an `async def` body it must be awaited."""
        return self._drive(self._log.undo_round())

    def _drive(self, plan: Plan[Any]) -> Any:
        """Carry out a plan; its result."""
        raise NotImplementedError


class Saga(_Entered):
    """The object of `async with saga()`."""

    def __init__(self, line: Line) -> None:
        super().__init__(line)
        self._log.task = asyncio.current_task()
        self._under_way: dict[asyncio.Future[None], asyncio.Task[Any] | None] = {}
        """Its running steps, each with the task that waits for it."""

    @overload
    def do(self, step: AnyStep[R], /, *args: Any, undo: _Alone[R | Unknown], **kwargs: Any) -> _Answer[R]: ...
    @overload
    def do(
        self, step: AnyStep[R], /, *args: Any, undo: _WithArguments[R | Unknown], **kwargs: Any
    ) -> _Answer[R]: ...
    @overload
    def do(self, step: AnyTransaction[R], /, *args: Any, undo: _Alone[R], **kwargs: Any) -> _Answer[R]: ...
    @overload
    def do(
        self, step: AnyTransaction[R], /, *args: Any, undo: _WithArguments[R], **kwargs: Any
    ) -> _Answer[R]: ...
    def do(self, step: Any, /, *args: Any, undo: Any, **kwargs: Any) -> Coroutine[Any, Any, Any]:
        """Run a step or transaction that `undo` undoes if the saga fails; the step's result.

        `undo` (a step, a transaction or a function that calls some) is recorded before the step begins. It is
        called with the step's result, or with UNKNOWN if it isn't known whether the step took effect: it
        raised, was cancelled or timed out. If `undo` needs more arguments, it also gets those of the step.
        Raises UsageError if it can't be called so, and what the step raises.
        """
        entry, note = self._log.begin(step, args, kwargs, undo, threaded=False)
        return self._do(entry, note)

    async def _do(self, entry: Entry, note: Undo) -> Any:
        log = self._log
        log.check_open()  # it may be awaited long after it was called
        # guard: undo-recorded-after-its-step
        await ask(note, log.line, "saga.do")
        over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._under_way[over] = asyncio.current_task()
        try:
            result = await entry.call()
        except BaseException:
            log.failed(entry)
            raise
        else:
            log.succeeded(entry, result)
            return result
        finally:
            del self._under_way[over]
            if not over.done():
                over.set_result(None)

    async def leave(self, error: BaseException | None) -> None:
        """Undo everything, unless the block ended normally. Raises CompensationFailed."""
        log = self._log
        log.closed = True
        cancelled: asyncio.CancelledError | None = None
        if error is None:
            try:
                await self._ended()
            except asyncio.CancelledError as stopped:
                error = cancelled = stopped
        # guard: undone-though-left-normally without 1
        if error is not None and log.body.goes_on:
            with undo_here():
                undoing = asyncio.get_running_loop().create_task(self._undo_all(error), name="undo")
            # guard: undo-not-shielded = await undoing
            while not undoing.done():
                try:
                    await asyncio.shield(undoing)
                except asyncio.CancelledError as stopped:
                    if not log.body.goes_on:
                        raise
                    cancelled = stopped
                except BaseException:
                    if not undoing.done():
                        raise  # the body is closed
                    break
            log.body.close_saga(log)
            mark_undone(error, log.undone)
            undoing.result()
        elif log.body.goes_on:
            log.body.close_saga(log)
        if cancelled is not None:
            raise cancelled

    async def _ended(self) -> None:
        while self._under_way:
            await asyncio.wait(list(self._under_way))

    async def _undo_all(self, left_by: BaseException) -> None:
        for task in list(self._under_way.values()):
            if task is not None:
                task.cancel()
        await self._ended()
        await self._drive(self._log.undo_all(self, left_by))

    async def _drive(self, plan: Plan[Any]) -> Any:
        answer = None
        while True:
            try:
                wanted = plan.send(answer)
            except StopIteration as over:
                return over.value
            if isinstance(wanted, _Try):
                answer = await self._try(wanted.done)
            else:
                answer = await ask(wanted, self._log.line, "saga")

    async def _try(self, done: _Done) -> Exception | None:
        try:
            given = done.entry.call_undo(done.result)
            if inspect.isawaitable(given):
                await given
        except BaseException as error:  # noqa: BLE001 - it is tried again, and observed
            return _failure_of(error, self._log.body)
        return None


class SyncSaga(_Entered):
    """The object of `with saga()` in a `def` workflow."""

    @overload
    def do(self, step: SyncStep[..., R], /, *args: Any, undo: _Alone[R | Unknown], **kwargs: Any) -> R: ...
    @overload
    def do(
        self, step: SyncStep[..., R], /, *args: Any, undo: _WithArguments[R | Unknown], **kwargs: Any
    ) -> R: ...
    @overload
    def do(self, step: SyncTransaction[..., R], /, *args: Any, undo: _Alone[R], **kwargs: Any) -> R: ...
    @overload
    def do(
        self, step: SyncTransaction[..., R], /, *args: Any, undo: _WithArguments[R], **kwargs: Any
    ) -> R: ...
    def do(self, step: Any, /, *args: Any, undo: Any, **kwargs: Any) -> Any:
        """Like `Saga.do`."""
        log = self._log
        entry, note = log.begin(step, args, kwargs, undo, threaded=True)
        ask(note, log.line, "saga.do")
        try:
            result = entry.call()
        except BaseException:
            log.failed(entry)
            raise
        log.succeeded(entry, result)
        return result

    def leave(self, error: BaseException | None) -> None:
        """Like `Saga.leave`."""
        log = self._log
        log.closed = True
        try:
            if error is not None and log.body.goes_on:
                with undo_here():
                    self._drive(log.undo_all(self, error))
                mark_undone(error, log.undone)
        finally:
            if log.body.goes_on:
                log.body.close_saga(log)

    def _drive(self, plan: Plan[Any]) -> Any:
        answer = None
        while True:
            try:
                wanted = plan.send(answer)
            except StopIteration as over:
                return over.value
            if isinstance(wanted, _Try):
                answer = self._try(wanted.done)
            else:
                answer = ask(wanted, self._log.line, "saga")

    def _try(self, done: _Done) -> Exception | None:
        try:
            done.entry.call_undo(done.result)
        except BaseException as error:  # noqa: BLE001 - it is tried again, and observed
            return _failure_of(error, self._log.body)
        return None


class SagaBlock:
    """The result of `saga()`: `async with` it, or `with` it in a `def` workflow."""

    _saga: Saga | SyncSaga | None = None

    if not TYPE_CHECKING:  # type checkers find the mistake before

        def __getattr__(self, name: str) -> Any:
            raise AttributeError(
                f"saga() has no {name!r} before it is entered: write `async with saga() as s:` (in a def "
                f"workflow `with saga() as s:`) and `s.{name}`"
            )

    async def __aenter__(self) -> Saga:
        line = self._line()
        if line.threaded:
            raise UsageError("`async with saga()` is for async def workflows: write `with saga() as s:`")
        self._saga = saga = Saga(line)
        return saga

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert isinstance(self._saga, Saga)
        await self._saga.leave(error)

    def __enter__(self) -> SyncSaga:
        line = self._line()
        if not line.threaded:
            raise UsageError("in an async def workflow write `async with saga() as s:`")
        self._saga = saga = SyncSaga(line)
        return saga

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert isinstance(self._saga, SyncSaga)
        self._saga.leave(error)

    def _line(self) -> Line:
        line = line_in_body("saga", "belongs in a workflow's body: a step undoes what it did itself")
        if self._saga is not None:
            raise UsageError("a saga is entered once: call saga() for each")
        return line


def saga() -> SagaBlock:
    """A block whose steps are undone if an exception leaves it, the last completed first.

    `async with saga() as s: hotel = await s.do(book, trip, undo=cancel)`, in a `def` workflow `with saga() as
    s: hotel = s.do(book, trip, undo=cancel)`. The workflow's timeout and its cancellation also leave the
    block so: they wait until all is undone, and nothing cancels the undoing. An undo that raises is retried
    for 24 hours with growing pauses; if it still fails, CompensationFailed is raised once everything else is
    undone. A block that ends normally undoes nothing. Raises UsageError outside a workflow's body.
    """
    return SagaBlock()


def _failure_of(error: BaseException, body: Body) -> Exception:
    """What an undo has raised. Raises it where it is the end of the execution."""
    if isinstance(error, Exception):
        return error
    # guard: undo-ends-the-others = True
    if isinstance(error, Stopped) or not body.goes_on:
        raise error
    instead = RuntimeError(f"the undo raised {type(error).__name__}")
    instead.__cause__ = error
    return instead


def _note(name: str, document: dict[str, Any]) -> Undo:
    return Undo(name, clean_json(to_json(document).decode()))


def _text(error: Exception) -> str:
    told = described(error)[:ERROR_CHARS_MAX]
    return told.encode("utf-8", "replace").decode()  # a lone surrogate has no UTF-8


def _tell_result(result: Any) -> Any:
    """What a step returned, as people are told of it: plain JSON, or the beginning of a text."""
    if result is UNKNOWN:
        return UNKNOWN.name
    try:
        text = clean_json(to_json(result).decode())
    except ValueError:
        return repr(result)[:RESULT_CHARS_MAX]
    return from_json(text) if len(text) <= RESULT_CHARS_MAX else text[:RESULT_CHARS_MAX]
