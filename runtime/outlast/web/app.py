"""The ASGI application: finds the part of the web floor that answers a path."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from starlette.types import ASGIApp, Receive, Scope, Send

from outlast.core.errors import OutlastError
from outlast.core.failures import forget_traceback
from outlast.core.observations import ignore
from outlast.core.resources import MANAGED
from outlast.functions.catalog import Catalog
from outlast.functions.routes import Target
from outlast.sdk.definitions import HandlerDefinition, WorkflowDefinition
from outlast.sdk.environment import enter_environment
from outlast.sdk.webhooks import StandardWebhook
from outlast.web.callers.admission import WEBHOOK, Admission, Admitted
from outlast.web.callers.audit import Audit
from outlast.web.callers.origins import Neighbours, cors_headers, preflight
from outlast.web.callers.shares import Shares
from outlast.web.callers.webhooks import Complaints, admit_webhook
from outlast.web.http.addresses import Addresses
from outlast.web.http.answers import ClientGone, Reply
from outlast.web.http.bodies import check_head
from outlast.web.http.calls import Call
from outlast.web.http.large_answers import ByteBudget, LargeAnswers, Share
from outlast.web.http.problems import expected_problem
from outlast.web.http.requests import RequestLog, silent_log, tell_fault
from outlast.web.http.routes import FUNCTIONS
from outlast.web.invoking.handlers import HostAccess, serve_app, serve_handler
from outlast.web.invoking.invoke import Invoker, check_method
from outlast.web.invoking.preferences import wants_stream
from outlast.web.invoking.streaming import Streamer


@dataclass(frozen=True, slots=True)
class Web:
    """The application's parts. `management` answers everything that isn't a function.

    `neighbours` is given if nobody is asked who they are.
    """

    functions: Catalog
    invoker: Invoker
    streamer: Streamer
    access: HostAccess
    shares: Shares
    admission: Admission
    management: ASGIApp
    bodies: ByteBudget
    answers: LargeAnswers
    cors_origins: Sequence[str] = ("*",)
    neighbours: Neighbours | None = None
    addresses: Addresses = field(default_factory=Addresses)
    complaints: Complaints = field(default_factory=Complaints)
    audit: Audit = field(default_factory=lambda: Audit(ignore))
    requests: RequestLog = field(default_factory=silent_log)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "http":
            self.addresses.resolve(scope)
            share = Share(self.bodies, self.answers, scope)
            call = Call(scope, receive)
            reply = Reply(send, cors_headers(call, self.cors_origins))
            began = self.requests.began()
            try:
                with suppress(ClientGone):
                    await self._serve(call, reply)
            finally:
                # guard: room-never-given-back
                share.release()
                self.requests.answered(scope, reply, began)

    async def _serve(self, call: Call, reply: Reply) -> None:
        """Answer, whatever happens. If an answer broke off, the server ends the connection.

        Raises ClientGone.
        """
        try:
            check_head(call)
            if self.neighbours is not None:
                self.neighbours.check(call)
            if call.method == "OPTIONS":
                await preflight(call).send(reply)
            elif call.path.startswith(FUNCTIONS):
                await self._function(call, reply)
            else:
                await self.management(call.scope, call.receive, reply)
                if call.path.startswith(MANAGED):
                    self.audit.record_management(call, reply.status or 0)
        except ClientGone:
            raise
        except (Exception, SystemExit, KeyboardInterrupt) as error:  # noqa: BLE001 - a function may raise any
            problem = expected_problem(error)
            if problem is None:
                problem = tell_fault(call, error)
            self.audit.record_refusal(call, problem.status, problem.code)
            forget_traceback(error)
            if not reply.begun:
                await problem.answer().send(reply)

    async def _function(self, call: Call, reply: Reply) -> None:
        target, admitted = await self._admit(call, call.path[len(FUNCTIONS) :])
        with self.shares.count_call(call, admitted):
            await self._answer(call, target, admitted, reply)

    async def _answer(self, call: Call, target: Target, admitted: Admitted, reply: Reply) -> None:
        served = target.served
        if isinstance(served, WorkflowDefinition):
            if wants_stream(call):
                await self.streamer.stream(call, admitted, target, served, reply)
            else:
                await self.invoker.invoke(call, admitted, target, served, reply)
        elif isinstance(served, HandlerDefinition):
            await serve_handler(call, admitted, target, served, self.access, reply)
        else:
            await serve_app(call, admitted, target, served, self.access, reply)

    async def _admit(self, call: Call, path: str) -> tuple[Target, Admitted]:
        """What is called, and by whom. Strangers are refused first, so they don't learn what exists."""
        file = path.partition("/")[0]
        try:
            target = self.functions.resolve(path)
        except OutlastError:
            await self.admission.to_function(call, file, None)
            raise
        enter_environment(target.environment)  # each call has its own task, which may run the function's code
        served = target.served
        if not isinstance(served, WorkflowDefinition | HandlerDefinition):
            return target, await self.admission.to_function(call, file, None)
        if served.webhook is None:
            return target, await self.admission.to_function(call, file, served.auth)
        check_method(call, served.methods)
        return target, await self._admit_webhook(call, target, served)

    async def _admit_webhook(
        self, call: Call, target: Target, served: WorkflowDefinition | HandlerDefinition
    ) -> Admitted:
        """A verified delivery needs no other credentials. It sets the call's idempotency key."""
        assert served.webhook is not None
        self.shares.count_request(call, WEBHOOK)
        call.key = await admit_webhook(
            call,
            served.webhook,
            target.function,
            self.complaints,
            now_s=self.invoker.now_s(),
            body_bytes_max=self.access.bodies.limit_of(
                served.body_bytes_max, verified=not isinstance(served.webhook, StandardWebhook)
            ),
        )
        return WEBHOOK
