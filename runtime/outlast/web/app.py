"""The ASGI application: from a path to the part of the web floor that answers it."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any, Protocol

from starlette.types import ASGIApp, Receive, Scope, Send

from outlast.core.errors import OutlastError
from outlast.sdk.definitions import HandlerDefinition, WorkflowDefinition
from outlast.sdk.running import Host
from outlast.web.calls import Call, ClientGone
from outlast.web.cors import preflight, sharing
from outlast.web.credentials import Admitted, Credentials
from outlast.web.handlers import serve_app, serve_handler
from outlast.web.invoke import Invoker
from outlast.web.problems import INTERNAL, Problem, ProblemError, problem_of
from outlast.web.streaming import Streamer, wants_stream

FUNCTIONS = "/functions/v1/"
_logger = logging.getLogger("outlast.web")


class Target(Protocol):
    """What a path below FUNCTIONS stands for."""

    @property
    def function(self) -> str:
        """The name it is served under."""
        ...

    @property
    def served(self) -> Any:
        """A WorkflowDefinition, a HandlerDefinition or an ASGI application."""
        ...

    @property
    def subpath(self) -> str:
        """What follows the name."""
        ...

    @property
    def version(self) -> str:
        """The version of its file."""
        ...


class Functions(Protocol):
    """The functions that are served."""

    def resolve(self, path: str) -> Target:
        """What `path` stands for. Raises an OutlastError with code NOT_FOUND or BOOT_ERROR."""
        ...


@dataclass(frozen=True, slots=True)
class Web:
    """The application's parts. `management` answers all that is no function."""

    functions: Functions
    invoker: Invoker
    streamer: Streamer
    host: Host
    credentials: Credentials
    verify_jwt: bool
    body_bytes_max: int
    management: ASGIApp

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        elif scope["type"] == "http":
            await self._serve(Call(scope, receive), sharing(send))

    async def _serve(self, call: Call, send: Send) -> None:
        try:
            if call.method == "OPTIONS":
                await preflight(call).send(send)
            elif call.path.startswith(FUNCTIONS):
                await self._function(call, send)
            else:
                await self.management(call.scope, call.receive, send)
        except ClientGone:
            pass
        except ProblemError as error:
            await error.problem.answer().send(send)
        except OutlastError as error:
            await _problem(error).answer().send(send)
        except Exception:
            _logger.exception("%s %s failed", call.method, call.path)
            await INTERNAL.answer().send(send)

    async def _function(self, call: Call, send: Send) -> None:
        admitted = self._admit(call)
        target = self.functions.resolve(call.path[len(FUNCTIONS) :])
        served = target.served
        if isinstance(served, WorkflowDefinition):
            story = (call, admitted, target.function, target.subpath, served, target.version)
            if wants_stream(call):
                await self.streamer.stream(*story, send)
            else:
                answer = await self.invoker.invoke(*story)
                await answer.send(send)
        elif isinstance(served, HandlerDefinition):
            await serve_handler(
                call, target.function, target.subpath, served, self.host, self.body_bytes_max, send
            )
        else:
            await serve_app(call, target.function, served, self.host, send)

    def _admit(self, call: Call) -> Admitted:
        """Who calls. With `verify_jwt`, for now only a secret key opens the functions."""
        if self.verify_jwt:
            self.credentials.require_secret(call)
            return Admitted(secret=True)
        return Admitted(secret=self.credentials.holds_secret(call))


def _problem(error: OutlastError) -> Problem:
    if error.code == "NOT_FOUND":
        return Problem(404, error.code, str(error))
    if error.code == "BOOT_ERROR":
        return Problem(503, error.code, str(error), retryable=True)
    return problem_of(error)
