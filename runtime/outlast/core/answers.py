"""What a workflow returned, as JSON. The workflow has done its work, so no result makes it fail.

A result that its annotation can encode is encoded by it, and comes back the same. Any other is encoded as
well as pydantic can: a UUID or a datetime becomes its text, a set a list, NaN the text "NaN". A value that
pydantic can't encode becomes its `repr`. Only a result that is too large to be stored is refused.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic_core import PydanticSerializationError, from_json, to_json

from outlast.core.bounds import check_size
from outlast.core.codec import Codec
from outlast.core.errors import NotSerializable
from outlast.core.storable import clean_text
from outlast.core.tracebacks import described

REPR_CHARS_MAX = 10_000


def encode_answer(codec: Codec, value: Any) -> tuple[str, str | None]:
    """`value` as JSON text, and why that text doesn't restore it, if so.

    Raises NotSerializable if it is too large to be stored.
    """
    try:
        return codec.encode(value), None
    except NotSerializable as error:
        reason = str(error)
    # guard: answers-whose-validators-fail
    except BaseException as error:  # noqa: BLE001 - a validator of the user's may raise anything
        reason = described(error)
    text = encode_loosely(value)
    check_size(len(text.encode()), codec.of)
    return text, reason


def decode_answer(codec: Codec, text: str) -> Any:
    """The value of `text`: by the annotation, or plain JSON if it was encoded without it."""
    try:
        return codec.decode(text)
    except Exception:  # noqa: BLE001 - a validator of the user's may raise anything
        return from_json(text)


def encode_loosely(value: Any, *, bytes_as: Literal["utf8", "base64"] = "base64") -> str:
    """Any `value` as JSON text."""
    try:
        encoded = to_json(
            value, by_alias=True, inf_nan_mode="strings", bytes_mode=bytes_as, fallback=_repr_of
        )
        from_json(encoded)  # raises if it is nested too deep, or has too long a number, to be read again
        return encoded.decode()
    except (PydanticSerializationError, ValueError, RecursionError, TypeError):
        return to_json(_repr_of(value)).decode()


def _repr_of(value: Any) -> str:
    try:
        return clean_text(repr(value)[:REPR_CHARS_MAX])
    except Exception:  # noqa: BLE001 - a foreign __repr__ may raise anything
        return f"a {type(value).__qualname__}"
