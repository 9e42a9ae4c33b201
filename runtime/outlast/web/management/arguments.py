"""The arguments of a verb over HTTP: the members of its JSON body, checked as `core.verbs` declares them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from outlast.core.errors import InvalidInput, InvalidJson
from outlast.core.values import read_value, wanted_value
from outlast.core.verbs import Argument, Verb
from outlast.web.http.bodies import read_json
from outlast.web.http.calls import Call
from outlast.web.http.heads import refuse_encoded
from outlast.web.http.off_loop import run_by_size


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
