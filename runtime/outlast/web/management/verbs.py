"""Verbs over HTTP: what callers do to a workflow, as `core.verbs` declares it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial

from outlast.core.records import Ownership
from outlast.core.status import Status
from outlast.core.verbs import CANCEL, VERBS, Verb
from outlast.engine.engine import Engine
from outlast.store.workflows import PostgresWorkflows
from outlast.web.http.answers import JSON, Answer
from outlast.web.http.calls import Call
from outlast.web.http.documents import document
from outlast.web.http.parameters import Parameters
from outlast.web.http.problems import Problem, ProblemError
from outlast.web.http.routes import Endpoint
from outlast.web.invoking.results import accepted_headers
from outlast.web.management.owned import Owned, as_unavailable


class VerbRoutes:
    """The endpoints of the verbs that change a workflow's row."""

    def __init__(self, engine: Engine, workflows: PostgresWorkflows, owned: Owned) -> None:
        self._engine = engine
        self._workflows = workflows
        self._owned = owned

    def routes(self) -> Iterator[tuple[str, str, Endpoint]]:
        """Method, template and endpoint of each."""
        for verb in VERBS:
            if verb.change is not None:
                yield from (("POST", path, partial(self._do, verb)) for path in verb.paths)

    async def _do(self, verb: Verb, call: Call, workflow_id: str) -> Answer:
        """Do it. Doing it again is no error; for any other status it is 409."""
        owner = await self._owned.owner(call, secret=verb.secret)
        parameters = Parameters(call, [each.name for each in verb.arguments])
        arguments = {
            each.name: parameters.whole(each.name, None, each.minimum, each.maximum)
            for each in verb.arguments
        }
        if owner is not None:
            # guard: anybodys-workflow-cancelled
            await self._owned.ownership(workflow_id, owner)
        status = await self._change(verb, workflow_id, arguments)
        if status is None:
            found = await self._owned.ownership(workflow_id, owner)
            if found.status not in verb.already:
                raise ProblemError(_refusal(verb, found))
            status = found.status
        answer = document({"workflow_id": workflow_id, "status": status})
        return Answer(200, answer.json, [JSON, *accepted_headers(workflow_id)])

    async def _change(self, verb: Verb, workflow_id: str, arguments: Mapping[str, int]) -> Status | None:
        """The status after it; None if nothing was changed. Raises DatabaseUnavailable."""
        if verb is CANCEL:  # the engine stops a workflow that runs here at once
            return Status.CANCELLED if await self._engine.cancel(workflow_id) else None
        with as_unavailable():
            return await self._workflows.change(verb, workflow_id, arguments)


def _refusal(verb: Verb, found: Ownership) -> Problem:
    return Problem(
        "workflow_ended" if found.status.ended else "workflow_not_ended",
        verb.refusal(found.status),
        found.workflow_id,
        # Not `status`: RFC 9457 uses that for the answer's.
        {"workflow_status": found.status.value},
    )
