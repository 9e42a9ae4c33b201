"""The HTTP servers of one instance, for calls and for metrics, and how they end at a signal."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from collections.abc import AsyncIterator, Coroutine, Generator, Mapping
from typing import Any

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from outlast.core import faults
from outlast.core.bounds import limit_outputs, limit_values
from outlast.core.observations import ConnectionsFull, LoopInterrupted, Observer
from outlast.host.children import let_children_of_loop_inherit
from outlast.host.collector import collect_seldom
from outlast.host.connections import Connections
from outlast.host.exits import leave_now, tell_of_exits
from outlast.host.forks import end_forked_hosts
from outlast.host.instance import Instance
from outlast.host.protocol import protocol_of
from outlast.host.settings import Settings
from outlast.host.sharing import Part
from outlast.host.watchdog import Watchdog
from outlast.host.workers import Supervisor
from outlast.web.http.answers import Answer
from outlast.web.management.metrics import METRICS, Scrape, scraped

PATIENCE_S = 3.0
KEEP_ALIVE_S = 65
"""Longer than the idle timeout of usual load balancers, so that they, not this host, end idle connections."""

SCRAPERS_MAX = 16
"""Connections to the port of metrics, which asks for no key."""


class _Server(uvicorn.Server):
    """A server that leaves signals to its owner, which ends the engine first."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Install no signal handlers."""
        yield

    def stop_listening(self) -> None:
        """Accept no more connections. Closing only the socket would take effect when the loop releases it."""
        for each in getattr(self, "servers", ()):  # uvicorn makes them when it starts
            each.close()


def run_instance(
    settings: Settings,
    database_url: str,
    secret_keys: Mapping[str, str],
    listener: socket.socket,
    observe: Observer,
    part: Part,
    supervisor: Supervisor | None,
) -> int:
    """Serve on `listener` until SIGTERM or SIGINT; return the exit status, for `leave`.

    `supervisor` is called a few times a second, in a thread, as long as the event loop runs. `part` is what
    this process shares with other workers.
    """
    for point in settings.crash_at:
        faults.arm(point)
    limit_outputs(settings.output_bytes_max)
    limit_values(settings.body_values_max)
    tell_of_exits(settings.functions)
    end_forked_hosts()
    import uvloop

    loop = uvloop.new_event_loop()
    asyncio.set_event_loop(loop)
    let_children_of_loop_inherit(loop)
    serving = _serve(settings, database_url, secret_keys, listener, observe, part, supervisor)
    # The loop isn't closed: that would wait for threads and tasks of functions, which may never end.
    return _run_to_the_end(loop, serving, observe)


def _run_to_the_end(
    loop: asyncio.AbstractEventLoop, serving: Coroutine[None, None, int], observe: Observer
) -> int:
    """Run the loop until `serving` has ended, even if tasks of functions try to end it earlier."""
    task = loop.create_task(serving, name="outlast-serve")
    while True:
        try:
            return loop.run_until_complete(task)
        except BaseException as error:
            # asyncio re-raises a task's SystemExit and KeyboardInterrupt; `loop.stop()` causes a
            # RuntimeError.
            if task.done() or loop.is_closed():
                raise
            observe(LoopInterrupted(repr(error)))


async def _serve(
    settings: Settings,
    database_url: str,
    secret_keys: Mapping[str, str],
    listener: socket.socket,
    observe: Observer,
    part: Part,
    supervisor: Supervisor | None,
) -> int:
    watchdog = Watchdog(settings.functions, observe, supervisor)
    instance = Instance(settings, database_url, secret_keys, observe, part)
    most = settings.connections()
    places = Connections(most, lambda ended: observe(ConnectionsFull(ended, most)))
    server = _server_of(
        instance.app,
        http=protocol_of(places, instance.requests.refused),
        date_header=False,
        proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=5,
        backlog=2048,
    )
    loop = asyncio.get_running_loop()
    ending = _Ending(instance, server, leaves=supervisor is None)
    for number in (signal.SIGTERM, signal.SIGINT) if supervisor is None else (signal.SIGTERM,):
        # The event loop's own signal handlers would wait for the loop, which a function may block.
        signal.signal(number, ending.told)
    if supervisor is not None:
        _follow_parent(loop, server, listener, ending, supervisor)
    await instance.start(PATIENCE_S)
    collect_seldom(loaded_stays=not settings.reload)
    watchdog.start(loop)
    async with _scraped_at(part.listener, instance.scrape):
        await server.serve(sockets=[listener])
    try:
        await ending.finish()
    finally:
        await instance.end_apps()
    return 0


class _Ending:
    """From the first signal to the last answer: the engine hands over while calls still get answers."""

    def __init__(self, instance: Instance, server: uvicorn.Server, *, leaves: bool) -> None:
        """`leaves`: whether a second signal ends it at once. A worker stays, as it may get a signal twice."""
        self._instance = instance
        self._leaves = leaves
        self._server = server
        self._task: asyncio.Task[None] | None = None
        self._loop = asyncio.get_running_loop()
        self._told = False

    def told(self, number: int, _frame: object = None) -> None:
        """At the first signal hand over, then stop serving. At the second end at once: others recover the
        rest.

        This may run between any two lines of the main thread, also while a function blocks the loop.
        """
        if self._told:
            # guard: second-signal-waits
            if self._leaves:
                leave_now(number)
            return
        self._told = True
        self._loop.call_soon_threadsafe(self.begin)

    def begin(self) -> None:
        """Hand over, then stop serving."""
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run(), name="outlast-ending")

    async def finish(self) -> None:
        """Wait until everything is handed over and closed."""
        self.begin()
        assert self._task is not None
        await self._task

    async def _run(self) -> None:
        try:
            await self._instance.stop()
        finally:
            self._server.should_exit = True


def _follow_parent(
    loop: asyncio.AbstractEventLoop,
    server: _Server,
    listener: socket.socket,
    ending: _Ending,
    parent: Supervisor,
) -> None:
    """End a worker when its parent has ended, and free the port at once for the next start."""

    def gone() -> None:
        loop.remove_reader(parent.gone.fileno())
        server.stop_listening()
        listener.close()
        ending.begin()

    loop.add_reader(parent.gone.fileno(), gone)


def _server_of(app: ASGIApp, **options: Any) -> _Server:
    """A server that logs nothing itself, and uses the running loop."""
    config = uvicorn.Config(
        app,
        loop="none",
        ws="none",
        lifespan="off",
        access_log=False,
        log_config=None,
        server_header=False,
        **options,
    )
    return _Server(config)


@contextlib.asynccontextmanager
async def _scraped_at(listener: socket.socket | None, scrape: Scrape | None) -> AsyncIterator[None]:
    """Meanwhile answer scrapes on a separate port."""
    if listener is None or scrape is None:
        yield
        return
    server = _server_of(_app_of(scrape), limit_concurrency=SCRAPERS_MAX, timeout_graceful_shutdown=1)
    serving = asyncio.get_running_loop().create_task(server.serve(sockets=[listener]), name="outlast-metrics")
    try:
        yield
    finally:
        server.should_exit = True
        await serving


def _app_of(scrape: Scrape) -> ASGIApp:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope["headers"])
        if scope["path"] != METRICS or scope["method"] not in ("GET", "HEAD"):
            body = b"only GET /metrics is here\n"
            answer = Answer(404, body, [(b"content-type", b"text/plain; charset=utf-8")])
        else:
            answer = await scraped(scrape, headers.get(b"accept", b"").decode("latin-1"))
        await answer.send(send)

    return app
