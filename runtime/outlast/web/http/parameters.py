"""The query of a management call. Unknown and malformed parameters are refused, with a remedy."""

from __future__ import annotations

import base64
import re
from collections.abc import Collection
from datetime import datetime
from typing import Any
from urllib.parse import parse_qsl

from pydantic_core import from_json, to_json

from outlast.core.values import parse_timestamp
from outlast.web.http.calls import Call
from outlast.web.http.problems import Problem, ProblemError

PARAMETERS_MAX = 100
_NUMBER = re.compile(r"-?[0-9]{1,9}(\.[0-9]{1,30})?([eE][+-]?[0-9]{1,3})?")
"""A number as JSON writes it: OpenAPI promises that."""


class Parameters:
    """The parameters of one call. Raises ProblemError (400) for unknown ones and what Postgres can't hold."""

    def __init__(self, call: Call, known: Collection[str]) -> None:
        try:
            query = call.query.decode("latin-1")
            self.pairs = parse_qsl(query, keep_blank_values=True, max_num_fields=PARAMETERS_MAX)
        except ValueError:
            raise ProblemError(
                Problem(
                    "invalid_parameter",
                    f"the query has more than {PARAMETERS_MAX} parameters; send fewer",
                )
            ) from None
        for name, value in self.pairs:
            if name not in known:
                remedy = f"use {', '.join(known)}" if known else "leave it out"
                raise invalid(name, f"there is no parameter {name!r} here; {remedy}")
            if not value:
                raise invalid(name, f"{name} is empty; leave it out or give it a value")
            if "\0" in value:
                raise invalid(
                    name, f"{name} holds a NUL character, which nothing recorded holds; leave it out"
                )

    def one(self, name: str) -> str | None:
        """The value of a parameter that may be given once."""
        values = self.repeated(name)
        if len(values) > 1:
            raise invalid(name, f"{name} is given {len(values)} times; give it once")
        return values[0] if values else None

    def repeated(self, name: str) -> list[str]:
        """The values of a parameter that may be repeated."""
        return [value for key, value in self.pairs if key == name]

    def many(self, name: str) -> list[str]:
        """The values of a parameter that may be repeated, or hold several with commas between."""
        return [each.strip() for value in self.repeated(name) for each in value.split(",")]

    def whole(self, name: str, default: int, minimum: int, maximum: int) -> int:
        """A whole number within its bounds."""
        text = self.one(name)
        if text is None:
            return default
        if not re.fullmatch(r"[0-9]{1,9}", text) or not minimum <= int(text) <= maximum:
            raise invalid(name, f"{name} must be a whole number from {minimum} to {maximum}, not {text!r}")
        return int(text)

    def seconds(self, name: str, maximum: int) -> float:
        """A number of seconds, 0 without one."""
        text = self.one(name)
        if text is None:
            return 0.0
        if not _NUMBER.fullmatch(text) or not 0 <= float(text) <= maximum:
            raise invalid(name, f"{name} must be a number of seconds from 0 to {maximum}, not {text!r}")
        return abs(float(text))  # -0 is 0

    def timestamp(self, name: str) -> datetime | None:
        """A date with time and offset (RFC 3339), or a date alone, which is its midnight in UTC."""
        text = self.one(name)
        if text is None:
            return None
        try:
            return parse_timestamp(text)
        except ValueError:
            raise invalid(
                name,
                f"{name} must be a date (2026-01-31) or a date with time and offset as in RFC 3339 "
                f"(2026-01-31T09:30:00Z), not {text!r}",
            ) from None

    def flag(self, name: str) -> bool | None:
        """`true` or `false`; None if it isn't given."""
        text = self.one(name)
        if text not in (None, "true", "false"):
            raise invalid(name, f"{name} must be true or false, not {text!r}")
        return None if text is None else text == "true"

    def cursor(self, *kinds: type) -> list[Any] | None:
        """The values that `cursor_of` was given, of these types; None without a cursor."""
        text = self.one("cursor")
        if text is None:
            return None
        try:
            values = from_json(base64.urlsafe_b64decode(text.encode() + b"=="))
        except ValueError:
            values = None
        if not isinstance(values, list) or [type(each) for each in values] != list(kinds):
            raise bad_cursor()
        return values


def cursor_of(*values: str | int) -> str:
    """A place in a listing as an opaque text."""
    return base64.urlsafe_b64encode(to_json(values)).decode().rstrip("=")


def bad_cursor() -> ProblemError:
    """400 for a cursor that no answer contained."""
    return invalid("cursor", "the cursor is none of ours; take it from the `next` of the page before")


def invalid(name: str, detail: str) -> ProblemError:
    """400 for the parameter `name`; `detail` says what to do."""
    return ProblemError(Problem("invalid_parameter", detail, more={"parameter": name}))
