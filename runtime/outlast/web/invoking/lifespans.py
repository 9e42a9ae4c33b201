"""The startup and shutdown of mounted applications: ASGI's lifespan protocol.

See https://asgi.readthedocs.io/en/latest/specs/lifespan.html. An application that doesn't support it raises
or returns, and has no lifespan.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterable, MutableMapping
from contextlib import asynccontextmanager
from contextvars import Context
from functools import partial
from pathlib import Path
from typing import Any

from outlast.core.observations import FunctionBroken as Broken
from outlast.core.observations import Observer
from outlast.core.tracebacks import described
from outlast.functions.edition import blame
from outlast.functions.routes import FunctionBroken, FunctionFile, Target
from outlast.functions.serving import ASGIApp
from outlast.sdk.environment import Own, enter_environment
from outlast.sdk.running import Host, enter_host

AGAIN_S = 5.0
"""After a failed startup a call tries again only after this time.

What the application connects to may be back then.
"""
SHUTDOWN_S = 3.0
"""The longest time for a shutdown."""
_logger = logging.getLogger("outlast.function")

Explain = Callable[[BaseException], str]
"""An exception in one line, with its place."""


class Lifespans:
    """The lifespans of all mounted applications of a process, on the host's loop.

    An application is an object, wherever it is mounted; after a reload of its file it is another one. It is
    started when its file is put into service. It is shut down when it is out of service and has answered its
    last request.
    """

    def __init__(self, host: Host, observe: Observer, startup_s_max: float) -> None:
        self._host = host
        self._observe = observe
        self._startup_s_max = startup_s_max
        self._of: dict[int, Lifespan] = {}
        """By the identity of the application. Each lifespan holds its application."""
        self._ending: set[asyncio.Task[None]] = set()

    def follow(self, files: Iterable[FunctionFile], folder: Path) -> None:
        """Serve only these files from now on: start new applications, shut down those that are gone."""
        served = {id(file.offer.app): file for file in files if file.offer.app is not None}
        for key, lifespan in list(self._of.items()):
            lifespan.retired = key not in served
            self._end_unused(lifespan)
        for key, file in served.items():
            if key not in self._of:
                assert file.offer.app is not None
                explain = partial(blame, root=folder, entry=file.path, known=())
                self._begin(file.served_as, file.offer.app, file.environment, explain)

    @asynccontextmanager
    async def enter(self, target: Target, app: ASGIApp) -> AsyncIterator[dict[str, Any] | None]:
        """The state that its lifespan made, for one request; None if it has none.

        The first requests wait until it has started. Raises FunctionBroken.
        """
        lifespan = self._of.get(id(app))
        if lifespan is None:
            lifespan = self._begin(target.function, app, target.environment, described)
        elif lifespan.may_begin_again:
            lifespan = self._begin(lifespan.function, app, target.environment, lifespan.explain)
        lifespan.users += 1
        try:
            await lifespan.begun.wait()
            if lifespan.failure is not None:
                raise FunctionBroken(f"the function {target.function} could not be loaded; the log says why")
            yield lifespan.state.copy() if lifespan.is_known else None
        finally:
            lifespan.users -= 1
            self._end_unused(lifespan)

    def failed(self) -> set[str]:
        """The functions whose application can't be called, because its last startup failed."""
        return {each.function for each in self._of.values() if each.failure is not None}

    async def close(self) -> None:
        """Shut all of them down at the same time. None has a request to answer any more."""
        for lifespan in self._of.values():
            lifespan.retired, lifespan.users = True, 0
        for lifespan in list(self._of.values()):
            self._end_unused(lifespan)
        if self._ending:
            await asyncio.wait(self._ending)

    def _begin(self, function: str, app: ASGIApp, environment: Own | None, explain: Explain) -> Lifespan:
        made = Lifespan(function, app, environment, explain, self._host, self._observe, self._startup_s_max)
        self._of[id(app)] = made
        return made

    def _end_unused(self, lifespan: Lifespan) -> None:
        # guard: lifespans-end-under-requests without 2
        if not lifespan.retired or lifespan.users or self._of.get(id(lifespan.app)) is not lifespan:
            return
        del self._of[id(lifespan.app)]
        task = asyncio.get_running_loop().create_task(lifespan.end(SHUTDOWN_S), context=Context())
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)


class Lifespan:
    """The lifespan of one application: a call of it that lasts from its startup to its shutdown."""

    def __init__(
        self,
        function: str,
        app: ASGIApp,
        environment: Own | None,
        explain: Explain,
        host: Host,
        observe: Observer,
        startup_s_max: float,
    ) -> None:
        """Start it. A startup that takes longer than `startup_s_max` has failed."""
        self.function = function
        self.app = app
        self.explain = explain
        self.state: dict[str, Any] = {}
        self.is_known = False
        """Whether the application has a lifespan."""
        self.begun = asyncio.Event()
        """Set when its startup is over, successful or not."""
        self.failure: str | None = None
        self.users = 0
        self.retired = False
        self._environment = environment
        self._host = host
        self._observe = observe
        self._refused: str | None = None
        self._asked = self._told = False
        self._leave, self._left = asyncio.Event(), asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._failed_at = 0.0
        late = f"its startup took longer than OUTLAST_IMPORT_S_MAX={startup_s_max:g} s"
        self._timer = self._loop.call_later(startup_s_max, self._fail, late)
        # In a context of its own: it doesn't belong to the call that comes first.
        self._task = self._loop.create_task(self._run(), name=f"lifespan of {function}", context=Context())

    @property
    def may_begin_again(self) -> bool:
        """Whether its startup failed long enough ago to try another one."""
        return self.failure is not None and self._loop.time() - self._failed_at >= AGAIN_S

    async def end(self, limit_s: float) -> None:
        """Let it shut down, for this long at most."""
        self._leave.set()
        if self.is_known:
            try:
                async with asyncio.timeout(limit_s):
                    await self._left.wait()
            except TimeoutError:
                _logger.error(
                    "%s: its shutdown takes longer than %g s and is given up", self.function, limit_s
                )
        self._task.cancel()

    async def _run(self) -> None:
        enter_environment(self._environment)
        enter_host(self._host)
        scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": self.state}
        try:
            await self.app(scope, self._receive, self._send)
            if self._refused is not None:
                self._fail(self._refused)
        except BaseException as error:  # noqa: BLE001 - even SystemExit is the function's failure
            self._raised(error)
        finally:
            self._settle()
            self._left.set()

    async def _receive(self) -> MutableMapping[str, Any]:
        if not self._asked:
            self._asked = True
            return {"type": "lifespan.startup"}
        if self._refused is not None:
            self._fail(self._refused)
        await self._leave.wait()
        if self._told:
            await asyncio.Event().wait()  # it is over; this call will be cancelled
        self._told = True
        return {"type": "lifespan.shutdown"}

    async def _send(self, message: MutableMapping[str, Any]) -> None:
        match message["type"]:
            case "lifespan.startup.complete":
                self.is_known = not self.begun.is_set()
                self._settle()
            case "lifespan.startup.failed":
                said = str(message.get("message") or "").strip().splitlines()
                self._refused = f"its startup failed: {said[-1] if said else 'it does not say why'}"
            case "lifespan.shutdown.complete":
                self._left.set()
            case "lifespan.shutdown.failed":
                if self._told:
                    _logger.error("%s: its shutdown failed: %s", self.function, message.get("message"))
                self._left.set()
            case other:
                raise RuntimeError(f"{other} is no message of a lifespan")

    def _raised(self, error: BaseException) -> None:
        """Its exception says why its startup failed, or that it has no lifespan."""
        if not self.begun.is_set():
            if self._leave.is_set():
                return  # it was ended before it had begun
            if self._refused is not None and isinstance(error, Exception):
                self._fail(f"its startup failed: {self.explain(error)}")
            elif self._refused is not None or isinstance(error, SystemExit | KeyboardInterrupt):
                self._fail(self._refused or f"its startup failed: {self.explain(error)}")
        elif self.is_known and not self._leave.is_set() and not isinstance(error, asyncio.CancelledError):
            _logger.error("%s: its lifespan ended by itself", self.function, exc_info=error)

    def _fail(self, why: str) -> None:
        if not self.begun.is_set():
            self.failure, self._failed_at = why, self._loop.time()
            self._settle()
            self._observe(Broken(self.function, why))
            self._task.cancel()

    def _settle(self) -> None:
        self._timer.cancel()
        self.begun.set()
