"""Finds annotations whose values JSON can't restore, to warn before there is a value."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel, SecretBytes, SecretStr

_HIDDEN = (SecretStr, SecretBytes)
DEPTH_MAX = 20


def lossy(annotation: Any) -> str | None:
    """What in `annotation` JSON can't restore, in words; None if nothing is known."""
    return next(_find_lossy(annotation, "", 0), None)


def _find_lossy(annotation: Any, path: str, depth: int) -> Iterator[str]:
    if depth > DEPTH_MAX:  # a model within itself
        return
    if isinstance(annotation, type) and issubclass(annotation, _HIDDEN):
        yield f"{f'{path}: ' if path else ''}a {annotation.__name__} is written as asterisks"
        return
    for each in typing.get_args(annotation):
        yield from _find_lossy(each, path, depth + 1)
    kind = typing.get_origin(annotation) or annotation
    if not isinstance(kind, type):
        return
    if issubclass(kind, BaseModel):
        for name, info in kind.model_fields.items():
            below = f"{path}.{name}" if path else name
            if info.exclude:
                yield f"{below}: the field is left out of JSON (exclude=True)"
            yield from _find_lossy(info.annotation, below, depth + 1)
    elif dataclasses.is_dataclass(kind):
        for each in dataclasses.fields(kind):
            yield from _find_lossy(each.type, f"{path}.{each.name}" if path else each.name, depth + 1)
