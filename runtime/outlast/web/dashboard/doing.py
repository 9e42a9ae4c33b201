"""The page of a verb: what it does, what it needs, the confirmation. Its form does it by the public API."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from outlast.core.resources import QUEUES, SCHEDULES, WORKFLOWS, Resource, path_of
from outlast.core.verbs import BULK, FORK, SEND, VERBS, Argument, Verb
from outlast.web.dashboard.asked import Asked
from outlast.web.dashboard.commands import of_verb
from outlast.web.dashboard.forms import form_of, unfit
from outlast.web.dashboard.inputs import read_typed
from outlast.web.dashboard.ways import part, workflow_url
from outlast.web.http.answers import Answer
from outlast.web.http.calls import Sendable
from outlast.web.http.problems import Problem, ProblemError

_NOUNS = {"workflows": WORKFLOWS, "queues": QUEUES, "schedules": SCHEDULES}


async def ask(asked: Asked) -> Sendable:
    """The form."""
    verb, key = _find_verb(asked)
    return _page(asked, verb, key, {name: values[-1] for name, values in asked.query.items()})


async def do(asked: Asked) -> Sendable:
    """Do it, and show what it was done to. What is refused is told on the form, as it was filled in."""
    verb, key = _find_verb(asked)
    fields = {name: values[-1] for name, values in (await form_of(asked.call)).items()}
    try:
        given = read_arguments(verb.arguments, fields)
    except ValueError as error:
        return _page(asked, verb, key, fields, unfit(str(error)))
    path = path_of(verb.paths[0], key)
    try:
        document = await asked.do(verb.method, path, given)
    except ProblemError as error:
        return _page(asked, verb, key, fields, error.problem)
    if verb.noun is not WORKFLOWS and verb.answer:
        return asked.render("done.html", verb=verb, key=key, back=_back(verb, key), answer=document or {})
    return Answer(303, b"", [(b"location", _address_after(verb, key, document).encode())])


def read_arguments(arguments: Sequence[Argument], fields: Mapping[str, str]) -> dict[str, Any]:
    """The arguments of a form as a body's members. An empty field is left out. Raises ValueError."""
    given: dict[str, Any] = {}
    for each in arguments:
        if text := fields.get(each.name, "").strip():
            given[each.name] = read_typed(each, text)
    return given


def _find_verb(asked: Asked) -> tuple[Verb, str]:
    """The verb and the key that a path names. Raises ProblemError."""
    noun = _NOUNS[asked.call.path.split("/")[2]]
    name, key = asked.keys[-1], asked.keys[0] if len(asked.keys) > 1 else ""
    asked.viewer.check_may("do this")
    for verb in VERBS:
        if verb.noun is noun and verb.name == name and verb not in (SEND, BULK) and verb.of_one == bool(key):
            return verb, key
    raise ProblemError(Problem("NOT_FOUND", f"nothing called {name!r} can be done to {noun.name}"))


def _page(
    asked: Asked, verb: Verb, key: str, fields: Mapping[str, str], refused: Problem | None = None
) -> Answer:
    try:
        given = read_arguments(verb.arguments, fields)
    except ValueError:
        given = {}
    return asked.render(
        "asking.html",
        verb=verb,
        key=key,
        fields=fields,
        refused=refused,
        back=_back(verb, key),
        commands=of_verb(asked.base, verb, key, given),
    )


def _back(verb: Verb, key: str) -> str:
    return _address(verb.noun, key) if key else f"/dashboard/{verb.noun.name}"


def _address(noun: Resource, key: str) -> str:
    return workflow_url(key) if noun is WORKFLOWS else f"/dashboard/{noun.name}/{part(key)}"


def _address_after(verb: Verb, key: str, document: Any) -> str:
    """The page that shows what came of it."""
    if verb is FORK:
        return f"{workflow_url(document['fork'])}?done={verb.name}"
    if verb.name == "delete":
        return f"/dashboard{'' if verb.noun is WORKFLOWS else f'/{verb.noun.name}'}?done={verb.name}"
    return f"{_back(verb, key)}?done={verb.name}"
