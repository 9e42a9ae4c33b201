"""Many at once: a verb for the chosen rows, or for all of a filter, tried first and confirmed by number."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from outlast.core.resources import FOUND_BY, Kind, path_of
from outlast.core.verbs import BULK, VERBS, Verb
from outlast.web.dashboard.asked import Asked
from outlast.web.dashboard.commands import of_verb
from outlast.web.dashboard.doing import read_arguments
from outlast.web.dashboard.forms import form_of, unfit
from outlast.web.dashboard.ways import part
from outlast.web.http.answers import Answer
from outlast.web.http.calls import Sendable
from outlast.web.http.problems import Problem, ProblemError

CHOSEN_MAX = 100
"""So many rows a page has."""

_FILTER = "f."
"""How the fields of the filter begin."""

_BULK_PATH = BULK.paths[0]


class Outcome(NamedTuple):
    """What came of one of the chosen."""

    workflow_id: str
    refused: str | None


class Wanted(NamedTuple):
    """What a form asks for. `chosen` are ids; without any, all of the `filter` are meant."""

    verb: Verb
    chosen: list[str]
    filter: dict[str, Any]
    arguments: dict[str, Any]
    fields: dict[str, str]


async def ask(asked: Asked) -> Sendable:
    """The form: for a filter with what it would do, tried on ten of them."""
    asked.viewer.check_may("do this")
    wanted = _read_wanted(asked.query)
    tried, refused = None, None
    if wanted.chosen:
        return _page(asked, wanted)
    if not any(each.required for each in wanted.verb.arguments):
        try:
            tried = await asked.do("POST", _BULK_PATH, {**_body(wanted), "dry_run": True})
        except ProblemError as error:
            refused = error.problem
    return _page(asked, wanted, tried, refused)


async def do(asked: Asked) -> Sendable:
    """Do it: to the chosen one by one, to a filter by a bulk."""
    asked.viewer.check_may("do this")
    form = await form_of(asked.call)
    wanted = _read_wanted(form)
    if wanted.chosen:
        outcomes = [await _do_one(asked, wanted, each) for each in wanted.chosen]
        return asked.render("bulk_done.html", wanted=wanted, outcomes=outcomes)
    expect = form.get("expect", [""])[-1].strip()
    try:
        if not expect.isdecimal():
            raise ProblemError(unfit("say how many you expect: a whole number"))
        body = {**_body(wanted), "expect": int(expect)}
        begun = await asked.do("POST", _BULK_PATH, body)
    except ProblemError as error:
        return _page(asked, wanted, None, error.problem, expect)
    where = f"/dashboard/bulks/{part(begun['workflow_id'])}?done={BULK.name}"
    return Answer(303, b"", [(b"location", where.encode())])


async def _do_one(asked: Asked, wanted: Wanted, workflow_id: str) -> Outcome:
    path = path_of(wanted.verb.paths[0], workflow_id)
    try:
        await asked.do(wanted.verb.method, path, wanted.arguments)
    except ProblemError as error:
        if error.problem.status >= 500:
            raise
        return Outcome(workflow_id, error.problem.detail)
    return Outcome(workflow_id, None)


def _read_wanted(fields: Mapping[str, list[str]]) -> Wanted:
    """Raises ProblemError (422)."""
    name = (fields.get("verb") or ["retry"])[-1]
    verb = next((each for each in VERBS if each.bulk and each.name == name), None)
    if verb is None:
        known = ", ".join(each.name for each in VERBS if each.bulk)
        raise ProblemError(unfit(f"no bulk does {name!r}; use {known}"))
    to_filter = (fields.get("to") or ["chosen"])[-1] == "filter"
    chosen = [] if to_filter else list(dict.fromkeys(each for each in fields.get("id", []) if each))
    if not to_filter and not chosen:
        raise ProblemError(unfit("nothing is chosen: go back and tick the runs that are meant"))
    if len(chosen) > CHOSEN_MAX:
        raise ProblemError(unfit(f"{CHOSEN_MAX} can be chosen at once; use a filter"))
    last = {name: values[-1] for name, values in fields.items()}
    try:
        arguments = read_arguments(verb.arguments, last)
    except ValueError as error:
        raise ProblemError(unfit(str(error))) from None
    return Wanted(verb, chosen, _filter(fields), arguments, last)


def _filter(fields: Mapping[str, list[str]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for each in FOUND_BY:
        values = [value for value in fields.get(_FILTER + each.name, []) if value]
        if values and each.several:
            found[each.name] = values
        elif values:
            found[each.name] = values[-1] == "true" if each.kind is Kind.FLAG else values[-1]
    return found


def _body(wanted: Wanted) -> dict[str, Any]:
    body: dict[str, Any] = {"verb": wanted.verb.name, "filter": wanted.filter}
    arguments = {name: value for name, value in wanted.arguments.items() if name != "why"}
    if arguments:
        body["arguments"] = arguments
    if "why" in wanted.arguments:
        body["why"] = wanted.arguments["why"]
    if wanted.fields.get("rate", "").isdecimal():
        body["rate"] = int(wanted.fields["rate"])
    return body


def _page(
    asked: Asked,
    wanted: Wanted,
    tried: Mapping[str, Any] | None = None,
    refused: Problem | None = None,
    expect: str = "",
) -> Answer:
    return asked.render(
        "bulk.html",
        wanted=wanted,
        tried=tried,
        refused=refused,
        expect=expect,
        prefix=_FILTER,
        arguments=[each for each in wanted.verb.arguments if each.name not in ("idempotency_key", "why")],
        commands=[] if wanted.chosen else of_verb(asked.base, BULK, "", _body(wanted)),
    )
