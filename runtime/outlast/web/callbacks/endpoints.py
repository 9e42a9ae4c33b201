"""`/callbacks/v1/TOKEN`: a GET shows a page and does nothing, a POST sends the message. It takes no key."""

from __future__ import annotations

import inspect
import secrets
from collections.abc import Callable
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, NamedTuple

from pydantic_core import from_json

from outlast.core.callbacks import Link
from outlast.core.errors import KeyReused, WorkflowEnded, WorkflowNotFound
from outlast.core.failures import globals_of
from outlast.core.named_types import find_type
from outlast.core.names import parse_key
from outlast.core.observations import CallbackUnreadable
from outlast.engine.engine import Engine
from outlast.functions.catalog import Catalog
from outlast.store.workflows import PostgresWorkflows
from outlast.web.callbacks.pages import asks, confirm_page, filled_form, refusal_page, sent_page
from outlast.web.callbacks.sent import FormRefused, is_form, read_sent
from outlast.web.callers.admission import STRANGER, Admitted
from outlast.web.http.answers import Answer, ClientGone, json_answer
from outlast.web.http.bodies import refuse_encoded
from outlast.web.http.calls import Call
from outlast.web.http.problems import Problem, ProblemError, expected_problem
from outlast.web.http.requests import tell_fault
from outlast.web.management.owned import as_unavailable


class _Found(NamedTuple):
    """The current state of a callback."""

    link: Link
    uses: int | None
    used: int
    live: bool
    of: Any

    @property
    def used_up(self) -> bool:
        """Whether it takes no more answers."""
        return self.uses is not None and self.used >= self.uses


class CallbackRoutes:
    """The endpoints. `count` counts a request of a caller, and raises ProblemError (429)."""

    def __init__(
        self,
        engine: Engine,
        workflows: PostgresWorkflows,
        functions: Catalog,
        count: Callable[[Call, Admitted], None],
        body_bytes_max: int,
    ) -> None:
        self._engine = engine
        self._workflows = workflows
        self._functions = functions
        self._count = count
        self._body_bytes_max = body_bytes_max

    async def show(self, call: Call, token: str) -> Answer:
        """The page that asks. Mail programs and browsers that open links in advance change nothing."""
        try:
            found = await self._find(call, token)
            # guard: used-callback-shown
            if found.used_up:
                raise ProblemError(_USED)
            _check_live(found)
        except ProblemError as error:
            return _refuse(call, error.problem)
        if asks(call):
            return confirm_page(found.of)
        return json_answer(
            {"open": True, "expires_at": datetime.fromtimestamp(int(found.link.expires_s), UTC)}
        )

    async def answer(self, call: Call, token: str) -> Answer:
        """Send the request's content to the workflow: 202 once it is durable; for browsers a page."""
        try:
            found = await self._find(call, token)
            if not found.used_up:
                _check_live(found)
            refuse_encoded(call)
            key = parse_key(call.header_values(b"idempotency-key"))
            kind = call.header(b"content-type") or ""
            read = call.body if is_form(kind) else call.json_body
            sent = await read(self._body_bytes_max)
            try:
                body = read_sent(kind, sent, found.of)
            except Exception as error:
                # guard: used-callback-looks-at-what-is-sent
                if found.used_up:
                    raise ProblemError(_USED) from error
                raise
            await self._send(found, body, key)
        except ClientGone:
            raise
        except Exception as error:  # noqa: BLE001 - a validator of the user's may raise anything
            problem = expected_problem(error) or tell_fault(call, error)
            # guard: what-was-typed-is-gone = ""
            form = filled_form(error.of, error.texts) if isinstance(error, FormRefused) else ""
            return _refuse(call, problem, form)
        return sent_page() if asks(call) else json_answer({"sent": True}, 202)

    async def _find(self, call: Call, token: str) -> _Found:
        """The callback of a token. Raises ProblemError; for a foreign token without reading the database."""
        self._count(call, STRANGER)
        link = self._engine.seals.open(token)
        if link is None:
            raise ProblemError(_UNKNOWN)
        # guard: expired-callback-taken
        if self._engine.clock.now_s() >= link.expires_s:
            raise ProblemError(_EXPIRED)
        with as_unavailable():
            row = await self._workflows.callback(link)
        if row is None or row["output"] is None:
            raise ProblemError(_OVER)
        told = from_json(row["output"])
        # The callback at this place may ask another question by now, of somebody else.
        # guard: callback-of-another-question-shown
        if told["mark"] != link.mark:
            raise ProblemError(_OVER)
        found = _Found(link, told["uses"], row["used"], row["live"], Any)
        return found._replace(of=self._type(found, row["function"], row["version"], told["of"]))

    def _type(self, found: _Found, function: str, version: str | None, name: str | None) -> Any:
        """The type that an answer must fit. Raises ProblemError (503) if the file no longer has it."""
        if name is None or not found.live:
            return Any
        definition = self._functions.of_version(function, version)
        if definition is None:
            raise ProblemError(_UNREADABLE)
        try:
            return find_type(name, globals_of(definition.fn))
        except LookupError:
            if found.used_up:
                raise ProblemError(_USED) from None
            file = inspect.getsourcefile(inspect.unwrap(definition.fn)) or "its file"
            self._engine.observe(CallbackUnreadable(function, file, name))
            # guard: callback-over-for-want-of-a-type
            raise ProblemError(_UNREADABLE) from None

    async def _send(self, found: _Found, body: str, key: str | None) -> None:
        """Send a request as one answer. With a key a repeated request is the same answer."""
        request = secrets.token_hex(16) if key is None else f"key-{sha256(key.encode()).hexdigest()}"
        try:
            sent = await self._engine.host.answer(found.link, body, request)
        except KeyReused:
            if found.uses == 1:
                raise ProblemError(_USED) from None
            raise
        except (WorkflowEnded, WorkflowNotFound):
            raise ProblemError(_USED if found.used_up else _OVER) from None
        if not sent:
            raise ProblemError(_USED)


_UNKNOWN = Problem("callback_unknown", "this link is not one of ours, or not whole: open it as it was sent")
_EXPIRED = Problem("callback_expired", "this link has expired; ask for another one")
_USED = Problem("callback_used", "this link was used already")
_UNREADABLE = Problem("BOOT_ERROR", "what this link is for can't be loaded now; try again later")
_OVER = Problem("callback_over", "what this link was for is over")


def _check_live(found: _Found) -> None:
    # guard: callback-of-the-ended
    if not found.live:
        raise ProblemError(_OVER)


def _refuse(call: Call, problem: Problem, form: str = "") -> Answer:
    return refusal_page(problem, form) if asks(call) else problem.answer()
