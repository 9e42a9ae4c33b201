"""Functions that aren't durable: handlers and mounted ASGI applications."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp

from outlast.core.failures import forget_traceback
from outlast.functions.routes import Target
from outlast.sdk.context import Context, MakeClients, enter_context
from outlast.sdk.definitions import HandlerDefinition
from outlast.sdk.http import Headers, HTTPException, Response
from outlast.sdk.requests import Client, Request
from outlast.sdk.running import Host, enter_host
from outlast.web.callers.admission import Admitted
from outlast.web.http.answers import JSON, Answer, ClientGone, Reply, text_pairs
from outlast.web.http.bodies import BodyLimits
from outlast.web.http.calls import Call
from outlast.web.http.problems import FUNCTION_FAILED, NO_WEBSOCKETS, ProblemError, expected_problem
from outlast.web.invoking.invoke import check_method
from outlast.web.invoking.lifespans import Lifespans
from outlast.web.invoking.results import exception_answer

_logger = logging.getLogger("outlast.function")


class HostAccess(NamedTuple):
    """What handlers and applications can use of the host, and how large bodies may be."""

    host: Host
    clients: MakeClients | None
    bodies: BodyLimits
    lifespans: Lifespans

    @asynccontextmanager
    async def enter(self, function: str, admitted: Admitted, request: Request | None) -> AsyncIterator[None]:
        """Give the code in this block its context: the function, the caller, the clients."""
        clients = None if self.clients is None else self.clients(admitted.caller, admitted.token)
        logger = logging.LoggerAdapter(_logger)
        here = Context(function, "", logger, request, admitted.caller, clients=clients)
        enter_host(self.host)
        enter_context(lambda: here)
        try:
            yield
        finally:
            if clients is not None:
                await clients.close()


async def serve_handler(
    call: Call,
    admitted: Admitted,
    target: Target,
    definition: HandlerDefinition,
    access: HostAccess,
    reply: Reply,
) -> None:
    """Call a handler and send what it returns: a Response, an ASGI response, text, bytes or JSON."""
    check_method(call, definition.methods)
    body = await call.body(access.bodies.limit_of(definition.body_bytes_max))
    headers = Headers(call.text_pairs())
    client = call.scope.get("client")
    request = Request(
        call.method,
        target.subpath,
        call.query.decode("latin-1"),
        headers,
        body,
        Client(*client) if client else None,
    )
    async with access.enter(target.function, admitted, request):
        await _call_handler(call, target, definition, request, reply)


async def _call_handler(
    call: Call, target: Target, definition: HandlerDefinition, request: Request, reply: Reply
) -> None:
    try:
        if definition.is_async:
            result = await definition.fn(request)
        else:
            result, raised = await asyncio.to_thread(_call, definition.fn, request)
            if raised is not None:
                raise raised
        answer = _answer_of(result)
        if answer is None:
            await result(call.scope, call.receive, reply)
    except HTTPException as error:
        answer = exception_answer(error.status, error.detail, error.headers.items())
        forget_traceback(error)
    except BaseException as error:
        raise _error_to_raise(target.function, error, reply) from error
    if answer is not None:
        await call.answer(_always(answer), reply)


def _is_handshake(call: Call) -> bool:
    """Whether a WebSocket is asked for. Alone a field `Upgrade` asks for nothing (RFC 9110, section 7.8)."""
    options = ",".join(call.header_values(b"connection")).lower().split(",")
    return (call.header(b"upgrade") or "").lower() == "websocket" and "upgrade" in map(str.strip, options)


async def serve_app(
    call: Call, admitted: Admitted, target: Target, app: ASGIApp, access: HostAccess, reply: Reply
) -> None:
    """Mount an ASGI application at its function's path, once it has started. Raises FunctionBroken."""
    if _is_handshake(call):
        raise ProblemError(NO_WEBSOCKETS)
    function = target.function
    scope = {**call.scope, "root_path": call.scope.get("root_path", "") + f"/functions/v1/{function}"}
    async with access.lifespans.enter(target, app) as state, access.enter(function, admitted, None):
        if state is not None:
            scope["state"] = state
        try:
            await app(scope, call.receive, reply)
        except BaseException as error:
            raise _error_to_raise(function, error, reply) from error
    if not reply.begun:
        _logger.error("%s did not answer", function)
        await FUNCTION_FAILED.answer().send(reply)


def _always(answer: Answer) -> Callable[[], Awaitable[Answer]]:
    """A `make` that returns `answer` again: a handler's answer can't be made twice."""

    async def made() -> Answer:
        return answer

    return made


def _call(fn: Callable[[Request], Any], request: Request) -> tuple[Any, BaseException | None]:
    """The result of a `def` handler, or its exception. A future couldn't carry two kinds of exceptions.

    No future carries StopIteration. GeneratorExit would close every coroutine above, up to the server's,
    which closes the connection.
    """
    try:
        return fn(request), None
    except BaseException as error:  # noqa: BLE001 - raised again where it is awaited
        return None, error


def _error_to_raise(function: str, error: BaseException, reply: Reply) -> BaseException:
    """The exception to raise for `error`: itself if callers may see it, else that the function failed.

    Even SystemExit is the function's failure; only the cancellation of this very call passes through.
    """
    if isinstance(error, asyncio.CancelledError) and _is_cancelled():
        return error
    if isinstance(error, ClientDisconnect | ClientGone):
        return ClientGone()
    if isinstance(error, Exception) and expected_problem(error) is not None and not reply.begun:
        return error
    _logger.error("%s failed", function, exc_info=error)
    return ProblemError(FUNCTION_FAILED)


def _is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _answer_of(result: Any) -> Answer | None:
    """What a handler returned as an answer; None if it is an ASGI response that sends itself."""
    if isinstance(result, Response):
        return Answer(result.status, result.body, text_pairs(result.headers.pairs()))
    if result is None:
        return Answer(200, b"null", [JSON])
    return None if callable(result) else _answer_of(Response(result))
