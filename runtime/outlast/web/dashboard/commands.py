"""What a page shows and does, as commands to copy: curl, the command line, SQL."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import urlencode

from outlast.core.resources import WORKFLOWS, Filter, Kind, path_of
from outlast.core.verbs import Argument, Verb
from outlast.web.dashboard.asked import Asked
from outlast.web.http.calls import Sendable

_KEY = '-H "apikey: $SUPABASE_SECRET_KEY"'


class Command(NamedTuple):
    """A command, and in whose language it is."""

    label: str
    text: str


async def show(asked: Asked) -> Sendable:
    """How this run is had elsewhere."""
    (workflow_id,) = asked.keys
    return asked.render("commands.html", workflow_id=workflow_id, commands=of_run(asked.base, workflow_id))


async def show_list(asked: Asked) -> Sendable:
    """How this list of runs is had elsewhere."""
    query = {name: values for name, values in asked.filters(WORKFLOWS).items() if name != "cursor"}
    return asked.render("commands.html", workflow_id="", commands=of_list(asked.base, query))


def of_run(base: str, workflow_id: str) -> list[Command]:
    """Looking at a workflow."""
    path = base + path_of(WORKFLOWS.item_path, workflow_id)
    literal = _literal(workflow_id)
    return [
        Command("curl", f"curl -s {_KEY} {shlex.quote(path)}\ncurl -s {_KEY} {shlex.quote(f'{path}/steps')}"),
        Command(
            "CLI",
            f"outlast workflows show {_word(workflow_id)}\noutlast workflows steps {_word(workflow_id)}",
        ),
        Command(
            "SQL",
            "\n".join(
                f"select * from outlast.{table} where workflow_id = {literal};"  # noqa: S608 - shown, not run
                for table in ("workflow_status", "operation_outputs", "messages")
            ),
        ),
    ]


def of_list(base: str, query: Mapping[str, Sequence[str]]) -> list[Command]:
    """Looking at a list of workflows by its filters."""
    pairs = [(name, each) for name, values in query.items() for each in values]
    url = f"{base}{WORKFLOWS.path}" + (f"?{urlencode(pairs)}" if pairs else "")
    options = " ".join(f"--{name.replace('_', '-')} {_word(value)}" for name, value in pairs)
    filters = {each.name: each for each in WORKFLOWS.filters}
    arguments = [f"{name} => {_write_sql(filters[name], values)}" for name, values in query.items()]
    return [
        Command("curl", f"curl -s {_KEY} {shlex.quote(url)}"),
        Command("CLI", f"outlast workflows list {options}".rstrip()),
        Command(
            "SQL",
            f"select s.* from outlast.find_workflows({', '.join([*arguments, 'most => 100'])}) f"  # noqa: S608
            " join outlast.workflow_summaries s using (workflow_id) order by f.place;",
        ),
    ]


def of_verb(base: str, verb: Verb, key: str, given: Mapping[str, Any]) -> list[Command]:
    """Doing a verb."""
    path = base + path_of(verb.paths[0], key)
    body = json.dumps(given, ensure_ascii=False)
    data = f' -H "content-type: application/json" -d {shlex.quote(body)}' if given else ""
    by_name = {each.name: each for each in verb.arguments}
    words = [_word(key)] if verb.of_one else []
    words += [_word(_write_value(value)) for name, value in given.items() if by_name[name].required]
    words += [_option(by_name[name], value) for name, value in given.items() if not by_name[name].required]
    return [
        Command("curl", f"curl -s -X {verb.method} {_KEY}{data} {shlex.quote(path)}"),
        Command("CLI", f"outlast {verb.noun.name} {verb.name} {' '.join(words)}".rstrip()),
        Command("SQL", _call(verb, key, given)),
    ]


def _call(verb: Verb, key: str, given: Mapping[str, Any]) -> str:
    kinds = {each.name: each for each in verb.arguments}
    settings = {name: value for name, value in given.items() if kinds[name].setting}
    rest = {name: value for name, value in given.items() if name not in settings}
    arguments = [f"{verb.noun.key} => {_literal(key)}"] if verb.of_one else []
    if settings:
        arguments.append(f"settings => {_literal(json.dumps(settings))}")
    for name, value in rest.items():
        if isinstance(value, bool):
            text = "true" if value else "false"
        elif kinds[name].kind in (Kind.JSON, Kind.OBJECT, Kind.RATE):
            text = _literal(json.dumps(value, ensure_ascii=False))
        else:
            text = str(value) if isinstance(value, int | float) else _literal(str(value))
        quoted = f'"{name}"' if name in ("from", "to", "limit") else name
        arguments.append(f"{quoted} => {text}")
    return f"select * from outlast.{verb.function}({', '.join(arguments)});"  # noqa: S608 - shown, not run


def _write_sql(given: Filter, values: Sequence[str]) -> str:
    """The values of a filter as an argument of `find_workflows`."""
    if given.several:
        return f"array[{', '.join(map(_literal, values))}]"
    return values[-1] if given.kind is Kind.FLAG and values[-1] in ("true", "false") else _literal(values[-1])


def _option(argument: Argument, value: Any) -> str:
    name = f"--{argument.name.replace('_', '-')}"
    return name if value is True else f"{name} {_word(_write_value(value))}"


def _write_value(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _word(text: str) -> str:
    return shlex.quote(text)


def _literal(text: str) -> str:
    """A text of SQL, whatever `standard_conforming_strings` says."""
    quoted = text.replace("'", "''")
    return f"E'{quoted.replace(chr(92), chr(92) * 2)}'" if "\\" in quoted else f"'{quoted}'"
