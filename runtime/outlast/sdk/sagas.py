"""`saga`: what its steps have done is undone when it fails, times out or is cancelled."""

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
"""So long after its first try the last one of an undo begins."""
BACKOFF_S, BACKOFF_FACTOR, BACKOFF_MAX_S = 1.0, 2.0, 900.0

ERROR_CHARS_MAX = 1_000
RESULT_CHARS_MAX = 1_000

R = TypeVar("R")
T = TypeVar("T")
AnyStep = AsyncStep[..., R] | SyncStep[..., R]
AnyTransaction = AsyncTransaction[..., R] | SyncTransaction[..., R]
_Alone = Callable[[R], Any]
"""What undoes a step by its result alone, as lambdas do; then what needs its arguments, too."""
_WithArguments = Callable[Concatenate[R, ...], Any]
_Answer = Coroutine[Any, Any, R]


class _Done(NamedTuple):
    """A step that has to be undone, and what it returned."""

    entry: Entry
    result: Any

    @property
    def note(self) -> str:
        """The step id of the record that came before it."""
        return self.entry.note[0]

    def document(self, error: str | None = None) -> dict[str, Any]:
        """As of `CompensationFailed.standing`."""
        told = {"step": self.entry.step, "undo": self.entry.undo, "result": _tell_result(self.result)}
        return told if error is None else {**told, "error": error}

    def failed(self, error: Exception, wait_s: float | None = None) -> dict[str, Any]:
        """Of a try that raised: as of observations.UndoFailed; without `wait_s`, of UndoGivenUp."""
        place = place_of(error)  # a step's failure has none here, and a record of its own
        text = _text(error) + (f", at {place}" if place else "")
        told = {"step": self.entry.step, "undo": self.entry.undo, "error": text}
        return told if wait_s is None else {**told, "wait_s": wait_s}


class _Try(NamedTuple):
    """Wanted: one try of an undo. Its answer is the error that it raised, or None."""

    done: _Done


Plan = Generator[Operation | _Try, Any, T]
"""What is to be done, one after the other: a driver sends what came of each."""


class _Log:
    """What one saga has done, and in which order that is undone. Without I/O: a driver does what it wants."""

    def __init__(self, line: Line) -> None:
        self.line = line
        self.task: asyncio.Task[Any] | None = None
        self.closed = False
        self.undone: list[str] = []
        """The records that note what was undone."""
        self._names: list[str] = []
        """The names of those steps."""
        self._done: list[_Done] = []

    @property
    def body(self) -> Body:
        """The workflow's."""
        return self.line.body

    def standing(self) -> list[dict[str, Any]]:
        """See OpenSaga."""
        return [each.document() for each in reversed(self._done)]

    def begin(self, step: Any, args: Args, kwargs: Kwargs, undo: Any, threaded: bool) -> tuple[Entry, Undo]:
        """A step is about to begin; what is to be recorded before. Raises UsageError."""
        self.check_open()
        entry = entry_of(step, args, kwargs, undo, threaded=threaded)
        document = to_json({"step": entry.step, "undo": entry.undo}).decode()
        return entry, Undo(f"undo {entry.step}", document, entry.note)

    def check_open(self) -> None:
        """Raise UsageError if nobody would undo any more."""
        # guard: done-after-its-saga
        if self.closed:
            raise UsageError("this saga has been left: call and await its do within its `with`")

    def succeeded(self, entry: Entry, result: Any) -> None:
        """The step is recorded."""
        self._done.append(_Done(entry, result))

    def failed(self, entry: Entry) -> None:
        """The step raised, or was given up. Of a transaction that took no effect, which is certain."""
        # guard: unknown-not-undone
        if not entry.certain:
            self._done.append(_Done(entry, UNKNOWN))

    def undo_round(self) -> Plan[tuple[CompensationFailed | None, Any]]:
        """What is to be done, one after the other. What then still stands, and whether that is tried again.

        It is once a workflow is retried: at once, or `after` the body has come to its end by the same error,
        if that may have called something because of it.
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
        """Rounds, for as long as another one is to follow. Raises CompensationFailed after the last one."""
        while True:
            error, again = yield from self.undo_round()
            if error is None:
                return
            # guard: standing-not-tried-again
            if again is True:
                continue
            saga.left_by = left_by  # not before: its traceback leads back here
            self.body.stands(saga, error, again=bool(again))
            raise error

    def _undo_each(self, todo: list[_Done], since: str) -> Plan[list[dict[str, Any]]]:
        """What of it still stands then. Before an undo begins a record names it as the next one.

        So the records tell what may have been undone, whatever ends the workflow meanwhile. `since` is the
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
        """Try until it succeeds or its time is over; the last error then."""
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
    """A saga whose block is entered. It may stand, as of StandingSaga, once it is left."""

    left_by: BaseException | None = None

    def __init__(self, line: Line) -> None:
        self._log = _Log(line)
        line.body.open_saga(self._log)

    @property
    def undone(self) -> list[str]:
        """The records that note what was undone."""
        return self._log.undone

    def undo_again(self) -> Any:
        """Undo what stands: as of `_Log.undo_round`; in an `async def` body to be awaited."""
        return self._drive(self._log.undo_round())

    def _drive(self, plan: Plan[Any]) -> Any:
        """What a plan comes to."""
        raise NotImplementedError


class Saga(_Entered):
    """What `async with saga()` gives."""

    def __init__(self, line: Line) -> None:
        super().__init__(line)
        self._log.task = asyncio.current_task()
        self._under_way: dict[asyncio.Future[None], asyncio.Task[Any] | None] = {}
        """Its steps that run, each with the task that waits for it."""

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
        """Run a step or transaction, to be undone by `undo` if the saga fails; what it returned.

        `undo` (a step, a transaction or a function that calls some) is recorded before the step begins. It is
        called with what the step returned, or UNKNOWN if it isn't known whether it took effect: it raised, or
        was cancelled or timed out. If it needs more arguments than that one, the step's own follow. Raises
        UsageError for what can't be called so, and what the step raises.
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
        """Undo all unless it was left normally. Raises CompensationFailed."""
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
        except BaseException as error:  # noqa: BLE001 - it is tried again, and told of
            return _failure_of(error, self._log.body)
        return None


class SyncSaga(_Entered):
    """What `with saga()` gives in a `def` workflow."""

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
        """As `Saga.do`."""
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
        """As `Saga.leave`."""
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
        except BaseException as error:  # noqa: BLE001 - it is tried again, and told of
            return _failure_of(error, self._log.body)
        return None


class SagaBlock:
    """What `saga()` gives: `async with` it, or `with` it in a `def` workflow."""

    _saga: Saga | SyncSaga | None = None

    if not TYPE_CHECKING:  # which tells of it before

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
    """A block whose steps are undone, the last that completed first, if it is left by an exception.

    `async with saga() as s: hotel = await s.do(book, trip, undo=cancel)`, in a `def` workflow `with saga() as
    s: hotel = s.do(book, trip, undo=cancel)`. The workflow's timeout and its cancellation leave it so, too:
    they wait until all is undone, and nothing cancels that. An undo that raises is tried again, ever later,
    for 24 hours; if it still fails CompensationFailed is raised when all else is undone. A saga that is left
    normally undoes nothing. Raises UsageError outside a workflow's body.
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
