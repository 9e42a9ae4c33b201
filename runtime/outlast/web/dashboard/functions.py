"""Functions: who serves them, how long they take; and one function with a form that calls it."""

from __future__ import annotations

import secrets
from collections.abc import Mapping

from outlast.core.resources import CATALOG, WORKFLOWS, path_of
from outlast.web.dashboard.asked import Asked
from outlast.web.dashboard.forms import form_of, unfit
from outlast.web.dashboard.inputs import Field, fields_of, read_input
from outlast.web.dashboard.lists import BESIDE, listing
from outlast.web.dashboard.ways import part, workflow_url
from outlast.web.http.answers import Answer
from outlast.web.http.calls import Sendable
from outlast.web.http.problems import Problem, ProblemError
from outlast.web.http.routes import FUNCTIONS

KEY = "idempotency_key"


show = listing("functions.html", CATALOG)


async def show_one(asked: Asked) -> Sendable:
    """One, with its newest runs and the form that calls it."""
    return await _page(asked, {KEY: secrets.token_hex(8)})


async def call(asked: Asked) -> Sendable:
    """Call it by the public API, and show its run. What is refused is told on the form."""
    asked.viewer.check_may("call functions")
    (function,) = asked.keys
    given = {name: values[-1] for name, values in (await form_of(asked.call)).items()}
    try:
        body = read_input(await _fields(asked, function), given)
    except ValueError as error:
        return await _page(asked, given, unfit(str(error)))
    sent = {"idempotency-key": given.get(KEY, ""), "prefer": "respond-async"}
    path = f"{FUNCTIONS}{'/'.join(map(part, function.split('/')))}"
    try:
        answered = await asked.api.call_function(asked.call, asked.viewer, path, body, sent)
    except ProblemError as error:
        return await _page(asked, given, error.problem)
    return Answer(303, b"", [(b"location", workflow_url(answered).encode())])


async def _page(asked: Asked, given: Mapping[str, str], refused: Problem | None = None) -> Answer:
    (function,) = asked.keys
    found = await asked.get(path_of(CATALOG.item_path, function))
    runs = await asked.get(WORKFLOWS.path, function=function, limit=BESIDE)
    return asked.render(
        "function.html",
        function=found,
        runs=runs["workflows"],
        fields=await _fields(asked, function) if found["served"] and asked.viewer.may_act else None,
        given=given,
        refused=refused,
    )


async def _fields(asked: Asked, function: str) -> list[Field] | None:
    """The form's fields; None for what can't be called over HTTP by JSON."""
    try:
        document = await asked.api.openapi(asked.call, asked.viewer)
    except ProblemError:  # OUTLAST_OPENAPI=off
        return None
    return fields_of(document, f"{FUNCTIONS}{function}")
