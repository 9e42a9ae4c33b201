"""How large one body may be, and its JSON as Postgres gets it."""

from __future__ import annotations

from typing import Any, NamedTuple

from pydantic_core import from_json

from outlast.core.bounds import check_numbers
from outlast.core.errors import InvalidJson, NotSerializable
from outlast.core.storable import check_json
from outlast.web.http.problems import nul_character


class BodyLimits(NamedTuple):
    """Limits of a body: by default, for functions that ask for more, and before it is verified."""

    bytes_max: int
    asked_bytes_max: int
    unverified_bytes_max: int

    def limit_of(self, asked: int | None, *, verified: bool = True) -> int:
        """The limit of a function that asks for `asked` bytes, or for none in particular."""
        usual = self.bytes_max if verified else min(self.bytes_max, self.unverified_bytes_max)
        return usual if asked is None else min(asked, max(self.bytes_max, self.asked_bytes_max))


def read_json(body: bytes, what: str) -> tuple[str, Any]:
    """A body that can be stored as JSON, as it is and as it reads. `what` it must be, in words.

    Raises InvalidJson (400), ProblemError (400).
    """
    try:
        read = from_json(body, allow_inf_nan=False)
        check_numbers(body)
        text = body.decode()
    except ValueError as error:
        raise InvalidJson(f"the body must be {what}, as JSON: {error}") from None
    try:
        check_json(text, what)
    except NotSerializable as error:
        raise nul_character(error) from None
    return text, read
