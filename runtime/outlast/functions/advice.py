"""Likely mistakes in a file that can be served: told when it is loaded."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Iterator
from types import ModuleType
from typing import Any

from pydantic import BaseModel, SecretBytes, SecretStr

from outlast.core.codec import return_annotation
from outlast.core.errors import UsageError
from outlast.sdk.definitions import Decorated
from outlast.sdk.steps import AsyncStep, SyncStep
from outlast.sdk.transactions import AsyncTransaction, SyncTransaction
from outlast.sdk.workflows import Workflow

_RECORDED = (AsyncStep, SyncStep, AsyncTransaction, SyncTransaction)


def advice_on(module: ModuleType) -> tuple[str, ...]:
    """Warnings, a sentence with a remedy each."""
    return (*_advise_on_replaced(module), *_advise_on_names(module), *_advise_on_annotations(module))


def _advise_on_replaced(module: ModuleType) -> Iterator[str]:
    """Of two functions of one name in a file Python keeps the second."""
    for name, value in vars(module).items():
        if not isinstance(value, Decorated) or value.definition.fn.__module__ != module.__name__:
            continue
        former = value.replaced
        if former is not None and former.still_there() is None:
            yield (
                f"lines {former.line} and {value.line} both define {name}: the first can't be reached; give "
                f"one of them another name, or put `{name}_v1 = {name}` between them to keep it"
            )


def _definitions_in(module: ModuleType, kinds: Any) -> list[Any]:
    """The definitions that this very file contains, each once."""
    found = [each for each in vars(module).values() if isinstance(each, kinds)]
    return list(
        {
            id(each.definition): each.definition
            for each in found
            if each.definition.fn.__module__ == module.__name__
        }.values()
    )


def _advise_on_names(module: ModuleType) -> Iterator[str]:
    """Replay tells two steps of the same name apart only by their place.

    If they swap places, each gets the other's record.
    """
    first: dict[str, Any] = {}
    for each in _definitions_in(module, _RECORDED):
        other = first.setdefault(each.name, each)
        if other is not each:
            yield (
                f"{other.fn.__name__} and {each.fn.__name__} are steps of one name, {each.name!r}: when the "
                "code changes, replay can't tell them apart; give one of them another name"
            )


def _advise_on_annotations(module: ModuleType) -> Iterator[str]:
    for each in _definitions_in(module, (*_RECORDED, Workflow)):
        try:
            found = lossy(return_annotation(each.fn))
        except UsageError:
            continue
        if found is not None:
            yield (
                f"what {each.name} returns can't come back from JSON as it is: {found}; return another type, "
                "or what stands for it"
            )


_HIDDEN = (SecretStr, SecretBytes)
DEPTH_MAX = 20


def lossy(annotation: Any) -> str | None:
    """The part of `annotation` that JSON can't restore, in words; None if there is none."""
    return next(_find_lossy(annotation, "", 0), None)


def _find_lossy(annotation: Any, path: str, depth: int) -> Iterator[str]:
    if depth > DEPTH_MAX:  # for a model that contains itself
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
