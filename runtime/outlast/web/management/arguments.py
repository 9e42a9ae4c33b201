"""The arguments of a verb over HTTP: the members of its JSON body, checked as `core.verbs` declares them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from outlast.core.errors import InvalidInput, InvalidJson
from outlast.core.resources import Kind
from outlast.core.verbs import Argument, Verb
from outlast.web.http.bodies import read_json
from outlast.web.http.calls import Call
from outlast.web.http.heads import refuse_encoded
from outlast.web.http.off_loop import run_by_size
from outlast.web.http.parameters import parse_timestamp

_KINDS = {
    Kind.TEXT: "a text",
    Kind.COUNT: "a whole number",
    Kind.INTEGER: "a whole number",
    Kind.NUMBER: "a number",
    Kind.DURATION: "a number of seconds",
    Kind.FLAG: "true or false",
    Kind.TIMESTAMP: "a date with time and offset (2026-01-31T09:30:00Z)",
    Kind.RATE: '{"n": how many, "per": seconds}',
    Kind.OBJECT: "an object",
    Kind.JSON: "JSON",
}


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
            raise invalid_argument(each.name, f"{each.name} is missing; give {_wanted(each)}")
    return {name: _read(known[name], value) for name, value in given.items()}


def _read(argument: Argument, value: Any) -> Any:
    if value is None and argument.nullable:
        return None
    try:
        return _READERS[argument.kind](argument, value)
    except (TypeError, ValueError, OverflowError):
        raise invalid_argument(argument.name, f"{argument.name} must be {_wanted(argument)}") from None


def _of_type(*types: type) -> Callable[[Argument, Any], Any]:
    """Reads a value of these JSON types: `true` is no number. Raises TypeError, ValueError."""

    def read(argument: Argument, value: Any) -> Any:
        if type(value) not in types:
            raise TypeError(type(value))
        size = len(value) if isinstance(value, str) else value
        if argument.minimum is not None and size < argument.minimum:
            raise ValueError(value)
        # guard: arguments-beyond-their-bounds
        if argument.maximum is not None and size > argument.maximum:
            raise ValueError(value)
        return value

    return read


def _duration(argument: Argument, value: Any) -> timedelta | float:
    """Within `settings` a duration stays a number."""
    seconds: float = _of_type(int, float)(argument, value)
    return seconds if argument.setting else timedelta(seconds=seconds)


_READERS: dict[Kind, Callable[[Argument, Any], Any]] = {
    Kind.TEXT: _of_type(str),
    Kind.COUNT: _of_type(int),
    Kind.INTEGER: _of_type(int),
    Kind.NUMBER: _of_type(int, float),
    Kind.DURATION: _duration,
    Kind.FLAG: _of_type(bool),
    Kind.TIMESTAMP: lambda _, value: parse_timestamp(value),
    Kind.RATE: _of_type(dict),
    Kind.OBJECT: _of_type(dict),
    Kind.JSON: lambda _, value: value,
}


def _wanted(argument: Argument) -> str:
    """What an argument must be."""
    span = ""
    if argument.maximum is not None:
        span = f"{argument.minimum or 0:,} to {argument.maximum:,}"
    if argument.kind is Kind.TEXT and span:
        return f"a text of {span} characters"
    null = ", or null for the default" if argument.nullable else ""
    return f"{_KINDS[argument.kind]}{span and f' from {span}'}{null}"


def invalid_argument(name: str | None, detail: str) -> InvalidInput:
    """422 for the argument `name`; `detail` says what it must be."""
    where = [] if name is None else [name]
    return InvalidInput(detail, [{"type": "invalid_argument", "loc": where, "msg": detail}])
