"""Verbs over HTTP: what callers do to workflows and all else, as `core.verbs` declares it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from outlast.core.errors import (
    DatabaseUnavailable,
    InvalidInput,
    InvalidJson,
    NotSerializable,
    WorkflowEnded,
    WorkflowNotFound,
)
from outlast.core.messages import TOPIC_CHARS_MAX
from outlast.core.names import parse_key
from outlast.core.ports import NoSuchRow, NotNow, Unacceptable
from outlast.core.records import Ownership
from outlast.core.resources import WORKFLOWS
from outlast.core.status import LIVE, Status
from outlast.core.values import read_value, wanted_value
from outlast.core.verbs import BULK, CANCEL, KILL, UNDO, VERBS, Argument, Verb
from outlast.engine.engine import Engine
from outlast.store.workflows import PostgresWorkflows
from outlast.web.callers.audit import who_called
from outlast.web.http.answers import JSON, NO_STORE, Answer
from outlast.web.http.bodies import read_json, refuse_encoded
from outlast.web.http.calls import Call, run_by_size
from outlast.web.http.documents import document, row_document
from outlast.web.http.parameters import Parameters, invalid
from outlast.web.http.problems import Problem, ProblemError
from outlast.web.http.routes import Endpoint, decode_part, not_found
from outlast.web.invoking.results import accepted_headers, location_of
from outlast.web.management.listings import Listings
from outlast.web.management.owned import Owned, as_unavailable


class VerbRoutes:
    """The endpoints of the verbs. `body_bytes_max` bounds their arguments, and messages."""

    def __init__(
        self,
        engine: Engine,
        workflows: PostgresWorkflows,
        owned: Owned,
        listings: Listings,
        body_bytes_max: int,
    ) -> None:
        self._engine = engine
        self._workflows = workflows
        self._owned = owned
        self._listings = listings
        self._body_bytes_max = body_bytes_max

    def routes(self) -> Iterator[tuple[str, str, Endpoint]]:
        """Method, template and endpoint of each. `send`, which has its own, comes before these."""
        for verb in VERBS:
            do = self._cancel if verb is CANCEL else partial(self._act, verb)
            yield from ((verb.method, path, do) for path in verb.paths)

    async def _cancel(self, call: Call, workflow_id: str) -> Answer:
        """Cancel a workflow, as its owner may. Again it is no error; after another end it is 409."""
        owner = await self._owned.owner(call, secret=CANCEL.secret)
        arguments = await self._arguments(CANCEL, call)
        if arguments.get("mode") == KILL:
            # guard: users-kill
            owner = await self._owned.owner(call, secret=True)
        if owner is not None:
            # guard: anybodys-workflow-cancelled
            await self._owned.ownership(workflow_id, owner)
        try:
            status = await self._engine.cancel(
                workflow_id, who_called(call), arguments.get("why"), arguments.get("mode", UNDO)
            )
        except NotNow as error:
            raise ProblemError(Problem("wrong_state", str(error))) from None
        if status is None:
            found = await self._owned.ownership(workflow_id, owner)
            if found.status is not Status.CANCELLED:
                raise ProblemError(_refusal(found))
            status = found.status
        answer = document({"workflow_id": workflow_id, "status": status})
        # guard: undoing-taken-for-cancelled = 200
        accepted = 202 if status in LIVE else 200
        return Answer(accepted, answer.json, [JSON, *accepted_headers(workflow_id)])

    async def _act(self, verb: Verb, call: Call, key: str | None = None) -> Answer:
        """Call the verb's function in the database: what it returns, or else the row as it is then."""
        # guard: verbs-of-operators-for-users
        await self._owned.owner(call, secret=True)
        arguments = await self._arguments(verb, call)
        try:
            with as_unavailable():
                row = await self._act_on(verb, key, arguments, who_called(call))
        except NoSuchRow:
            raise ProblemError(not_found(verb.noun, key)) from None
        except Unacceptable as error:
            raise invalid_argument(error.argument, str(error)) from None
        except NotNow as error:
            raise ProblemError(Problem("wrong_state", str(error))) from None
        if not verb.answer and key is not None:
            return await self._listings.item(verb.noun, key)
        shown = row_document(verb.answer, row, secret=True).json
        # guard: bulks-answered-as-done = None
        begun = row.get("workflow_id") if verb is BULK else None
        if begun is not None:
            where = (b"location", location_of(begun).encode())
            return Answer(202, shown, [JSON, where, *accepted_headers(begun)])
        return Answer(200, shown, [JSON, NO_STORE])

    async def _act_on(
        self, verb: Verb, key: str | None, arguments: Mapping[str, Any], by: str
    ) -> Mapping[str, Any]:
        if verb.noun is WORKFLOWS and key is not None:  # what is done to one may concern what runs here
            return await self._engine.act(verb, key, arguments, by)
        if verb is BULK:
            return await self._engine.act_on_many(arguments, by)
        row = await self._workflows.act(verb, key, arguments, by)
        self._engine.look()  # what was paused goes on, what was triggered begins
        return row

    async def send(self, call: Call, workflow_id: str, raw_topic: str = "") -> Answer:
        """Send the body as a message: 202 once it is durable. The same key sends it once."""
        await self._owned.owner(call, secret=True)
        Parameters(call, ())
        topic = decode_part(raw_topic)
        if topic is None or len(topic) > TOPIC_CHARS_MAX:
            raise invalid("topic", f"a topic is 1 to {TOPIC_CHARS_MAX} characters in UTF-8, none of them NUL")
        key = parse_key(call.header_values(b"idempotency-key"))
        refuse_encoded(call)
        sent = await call.json_body(self._body_bytes_max)
        body, _ = await run_by_size(len(sent), read_json, sent, "the message")
        try:
            message_id = await self._engine.host.send(workflow_id, body, topic, key)
        except WorkflowNotFound:
            raise ProblemError(not_found(WORKFLOWS, workflow_id)) from None
        except WorkflowEnded as error:
            raise ProblemError(Problem(error.code, str(error), workflow_id=workflow_id)) from None
        except NotSerializable as error:
            raise InvalidJson(str(error)) from error
        except DatabaseUnavailable as error:
            if key is not None:
                raise
            raise DatabaseUnavailable(
                f"{error}; only with an Idempotency-Key is it safe to send again"
            ) from error
        answer = document({"workflow_id": workflow_id, "message_id": message_id})
        return Answer(202, answer.json, [JSON, *accepted_headers(workflow_id)])

    async def _arguments(self, verb: Verb, call: Call) -> dict[str, Any]:
        Parameters(call, ())
        return await read_arguments(verb, call, self._body_bytes_max)


def _refusal(found: Ownership) -> Problem:
    return Problem(
        "workflow_ended" if found.status.ended else "workflow_not_ended",
        CANCEL.refusal(found.status),
        found.workflow_id,
        # Not `status`: RFC 9457 uses that for the answer's.
        {"workflow_status": found.status.value},
    )


async def read_arguments(verb: Verb, call: Call, bytes_max: int) -> dict[str, Any]:
    """The arguments that a call gives. No body is an empty object.

    Raises InvalidJson (400), InvalidInput (422), ProblemError.
    """
    refuse_encoded(call)
    body = await call.json_body(bytes_max) if await call.body(bytes_max) else b"{}"
    _, given = await run_by_size(len(body), read_json, body, "an object")
    if not isinstance(given, dict):
        raise InvalidJson("the body must be an object, as JSON: a member for each argument")
    return check_arguments(verb, given)


def check_arguments(verb: Verb, given: Mapping[str, Any]) -> dict[str, Any]:
    """`given` as the store takes it. Raises InvalidInput, which names the argument."""
    known = {each.name: each for each in verb.arguments}
    for name in given:
        # guard: unknown-arguments-taken
        if name not in known:
            remedy = f"use {', '.join(known)}" if known else "leave it out"
            raise invalid_argument(name, f"there is no argument {name!r} here; {remedy}")
    for each in verb.arguments:
        if each.required and each.name not in given:
            raise invalid_argument(each.name, f"{each.name} is missing; give {wanted_value(each)}")
    return {name: _read(known[name], value) for name, value in given.items()}


def _read(argument: Argument, value: Any) -> Any:
    try:
        return read_value(argument, value)
    except ValueError as error:
        raise invalid_argument(argument.name, str(error)) from None


def invalid_argument(name: str | None, detail: str) -> InvalidInput:
    """422 for the argument `name`; `detail` says what it must be."""
    where = [] if name is None else [name]
    return InvalidInput(detail, [{"type": "invalid_argument", "loc": where, "msg": detail}])
