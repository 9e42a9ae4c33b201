"""How a request's body becomes a workflow's arguments, and its description in OpenAPI.

The members of the JSON object are bound to parameters by name, and validated by the annotations. A single
parameter that is a model (a pydantic model, dataclass or TypedDict) takes the whole body. A parameter
annotated `Request` gets the recorded request. Without a body the query's parameters are bound instead. For a
function that takes batches the body is one item of its list.
"""

from __future__ import annotations

import dataclasses
import inspect
import json
import re
import typing
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Annotated, Any, NotRequired, Required

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, with_config
from pydantic.errors import PydanticSchemaGenerationError, PydanticUndefinedAnnotation, PydanticUserError
from pydantic_core import PydanticSerializationError, from_json, to_json, to_jsonable_python
from typing_extensions import TypedDict  # pydantic asks for this one before Python 3.12

from outlast.core.bounds import check_numbers, check_size
from outlast.core.codec import difference, resolved_annotations, why_not
from outlast.core.errors import (
    InvalidInput,
    InvalidJson,
    NotSerializable,
    UsageError,
    ValidatorFailed,
    with_reasons,
)
from outlast.core.storable import check_json
from outlast.sdk.forms import Fields
from outlast.sdk.requests import Request
from outlast.sdk.texts import Shape, read_members

ERRORS_MAX = 100
_NEXT_ITEM = re.compile(r"[\s,]*")
_NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


class Inputs:
    """The parameters of a workflow."""

    def __init__(self, fn: Callable[..., Any], *, batch: bool = False) -> None:
        """With `batch` the function takes a list of inputs, and this describes one of them.

        Raises UsageError for parameters that no JSON body can fill.
        """
        self._fn = fn
        self.signature = inspect.signature(fn)
        hints = resolved_annotations(fn)
        self.request_parameters: list[str] = []
        self.takes_anything = False
        named: dict[str, inspect.Parameter] = {}
        for parameter in self.signature.parameters.values():
            if hints.get(parameter.name) is Request:
                self.request_parameters.append(parameter.name)
            elif parameter.kind is inspect.Parameter.VAR_KEYWORD:
                self.takes_anything = True
            elif parameter.kind in _NAMED:
                named[parameter.name] = parameter
            else:
                raise UsageError(
                    f"{fn.__qualname__}: the parameter {parameter} can't be filled from a JSON object; "
                    "use parameters that can be given by name"
                )
        self.whole: str | None = None
        if len(named) == 1 and not self.takes_anything:
            (only,) = named
            if batch or _is_model(hints.get(only)):
                self.whole = only
        if batch:
            hints = self._hints_of_one(hints)
        self.names = tuple(named)
        self._adapter = self._make_adapter(named, hints)

    def _hints_of_one(self, hints: dict[str, Any]) -> dict[str, Any]:
        annotation = None if self.whole is None else hints.get(self.whole)
        # guard: batch-of-what
        if typing.get_origin(annotation) is not list or self.request_parameters:
            raise UsageError(
                f"{self._fn.__qualname__}: its queue has batch=, so it takes one parameter, the list of "
                f"what its callers give, such as items: list[Item]; not {self.signature}"
            )
        return {**hints, str(self.whole): typing.get_args(annotation)[0]}

    @property
    def reads_json(self) -> bool:
        """Whether the body must be JSON. It needn't be if the function takes only the request."""
        return bool(self.names) or self.takes_anything or not self.request_parameters

    def take_json(self, body: bytes | str) -> dict[str, Any]:
        """Arguments from the JSON body of a new call. It will be stored.

        Raises InvalidJson, InvalidInput, ValidatorFailed, and NotSerializable for NUL.
        """
        arguments = self.bind_json(body)
        check_json(body if isinstance(body, str) else body.decode(), "the input")
        return arguments

    def json_of_query(self, query: Fields[str]) -> str:
        """The JSON body that is equivalent to a query. A repeated parameter is a list."""
        texts = {name: query.getlist(name) for name in query}
        return to_json(read_members(self._members, texts)).decode()

    @cached_property
    def _members(self) -> dict[str, Shape]:
        """The shape of each parameter, or of each member of the single model, by name and by alias."""
        named = Shape.of(self._adapter, by_alias=False).members
        return {**named, **Shape.of(self._adapter).members}

    def check_queue_key(self, path: str) -> None:
        """Raise UsageError for a queue's key that no input can have, as it names no parameter."""
        members = () if self.whole is not None or self.takes_anything else tuple(self._members)
        if members and path.partition(".")[0] not in members:
            raise UsageError(
                f"{self._fn.__qualname__}: its queue's key {path!r} names none of its parameters, "
                f"which are {', '.join(members)}: each call would be refused"
            )

    def bind_json(self, body: bytes | str) -> dict[str, Any]:
        """Arguments from JSON, stored or new. Raises InvalidJson, InvalidInput and ValidatorFailed."""
        text = body if isinstance(body, bytes) else body.encode()
        if b"NaN" in text or b"Infinity" in text:
            _refuse_constants(text)
        try:
            validated = self._adapter.validator.validate_json(body, by_alias=True, by_name=True)
        except ValidationError as error:
            invalid = self._invalid(error)
            try:
                if isinstance(invalid, InvalidInput):
                    _refuse_numbers(text)
                raise invalid from None
            finally:
                del invalid  # its traceback refers to this frame, and to all frames above
        # guard: validators-blame-the-host
        except BaseException as error:
            raise self._failed(error) from error
        _refuse_numbers(text)
        return validated if self.whole is None else {self.whole: validated}

    def bind_batch(self, text: str) -> tuple[dict[str, Any], dict[int, InvalidInput | InvalidJson]]:
        """The argument of a function that takes batches, from the JSON array of its callers' inputs.

        And the errors of invalid inputs, by place from 1: SQL can't validate them, and they must not fail the
        others.
        """
        assert self.whole is not None
        items, refused = [], {}
        for place, item in enumerate(_items(text), 1):
            try:
                items.append(self.bind_json(item)[self.whole])
            except (InvalidInput, InvalidJson) as error:
                # guard: one-input-fails-a-batch
                refused[place] = error
            # guard: one-validator-fails-a-batch
            except ValidatorFailed as error:
                refused[place] = InvalidInput(f"the input can't be read: {error}", [])
        return {self.whole: items}, refused

    def encode_call(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
        """The JSON input of a call in Python.

        Raises UsageError, InvalidInput, ValidatorFailed, or NotSerializable if the function would get other
        values.
        """
        of = f"{self._fn.__qualname__}: the input"
        if self.request_parameters:
            raise UsageError(f"{self._fn.__qualname__} takes a Request: it can be called over HTTP only")
        given = self._validate(args, kwargs)
        try:
            encoded = self._adapter.dump_json(given, warnings="error", by_alias=False)
        except ValueError as error:
            raise NotSerializable(
                f"{self._fn.__qualname__}: an argument has no JSON form: {error}"
            ) from error
        check_size(len(encoded), of)
        try:
            back = self.take_json(encoded)
        except (InvalidInput, InvalidJson) as error:
            raise NotSerializable(f"{of} would not be taken as it is written in JSON: {error}") from error
        # guard: an-input-changes-unseen
        if (changed := difference(back, given if self.whole is None else {self.whole: given})) is not None:
            raise NotSerializable(
                f"{of}{changed}; annotate the parameter with the type that is given, or give plain JSON"
            )
        return encoded.decode()

    def item(self, value: str) -> str:
        """The input whose only argument is `value` (JSON text), unchanged. Raises UsageError."""
        if self.whole is not None:
            return value
        if not self.names:
            raise UsageError(f"{self._fn.__qualname__} takes no argument: an item would be it")
        return f'{{"{self.names[0]}":{value}}}'

    def _validate(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The arguments in the adapter's form, validated."""
        try:
            bound = self.signature.bind(*args, **kwargs)
        except TypeError as error:
            raise UsageError(f"{self._fn.__qualname__}: {error}") from None
        values = dict(bound.arguments)
        for parameter in self.signature.parameters.values():
            if parameter.kind is inspect.Parameter.VAR_KEYWORD:
                values.update(values.pop(parameter.name, {}))
        if self.whole is not None and self.whole not in values:
            raise UsageError(f"{self._fn.__qualname__}: give {self.whole!r}")
        given = values if self.whole is None else values[self.whole]
        try:
            return self._adapter.validator.validate_python(given, by_alias=True, by_name=True)
        except ValidationError as error:
            invalid = self._invalid(error)
            if isinstance(invalid, InvalidInput):
                text = with_reasons(str(invalid), invalid.errors)
                raise InvalidInput(f"{self._fn.__qualname__}: {text}", invalid.errors) from None
            raise invalid from None
        except BaseException as error:
            raise self._failed(error) from error

    def json_schema(self) -> dict[str, Any]:
        """JSON Schema (2020-12) of the body."""
        return self._adapter.json_schema(ref_template="#/components/schemas/{model}")

    def _make_adapter(self, named: dict[str, inspect.Parameter], hints: dict[str, Any]) -> TypeAdapter[Any]:
        try:
            if self.whole is not None:
                return TypeAdapter(hints[self.whole])
            fields = {name: _field(parameter, hints.get(name, Any)) for name, parameter in named.items()}
            config = ConfigDict(extra="allow" if self.takes_anything else "forbid")
            arguments = TypedDict(f"{self._fn.__name__}_input", fields)  # type: ignore[misc]
            return TypeAdapter(with_config(config)(arguments))
        except (PydanticSchemaGenerationError, PydanticUndefinedAnnotation, PydanticUserError) as error:
            raise UsageError(
                f"{self._fn.__qualname__}: a parameter's annotation has no JSON form: {why_not(error)}"
            ) from error

    def _failed(self, error: BaseException) -> ValidatorFailed:
        """For any other exception of a validator, also SystemExit, which must not end the process."""
        return ValidatorFailed(f"{self._fn.__qualname__}'s input", error)

    def _invalid(self, error: ValidationError) -> InvalidInput | InvalidJson:
        if (count := error.error_count()) > ERRORS_MAX:
            # A list of all places would be many times as large as the body.
            told = {"type": "too_many_errors", "loc": (), "msg": f"{count} values don't fit"}
            return InvalidInput(f"the input does not fit: {count} values don't", [told])
        first = error.errors(include_url=False)[0]
        if count == 1 and first["type"] == "json_invalid" and not first["loc"]:
            return InvalidJson(f"the body is no JSON: {first['ctx']['error']}")
        errors = error.errors(include_url=False, include_context=False, include_input=False)
        places = sorted({".".join(map(str, item["loc"])) or "body" for item in errors})
        return InvalidInput(f"the input does not fit: {', '.join(places)}", [dict(item) for item in errors])


def _field(parameter: inspect.Parameter, annotation: Any) -> Any:
    """A parameter as a key of a TypedDict.

    It is optional if the parameter has a default, which the function applies.
    """
    if parameter.default is inspect.Parameter.empty:
        return Required[annotation]
    try:
        shown = {"default": to_jsonable_python(parameter.default)}
    except PydanticSerializationError:
        shown = {}
    return NotRequired[Annotated[annotation, Field(json_schema_extra=shown)]]


def _items(array: str) -> Iterator[str]:
    """The elements of a JSON array, each as its text."""
    read = json.JSONDecoder().raw_decode
    at = _NEXT_ITEM.match(array, 1).end()  # type: ignore[union-attr]
    while at < len(array) and array[at] != "]":
        _, end = read(array, at)
        yield array[at:end]
        at = _NEXT_ITEM.match(array, end).end()  # type: ignore[union-attr]


def _refuse_constants(text: bytes) -> None:
    """Refuse NaN and Infinity, which are no JSON. Postgres would refuse them. As texts they are allowed."""
    try:
        from_json(text, allow_inf_nan=False)
    except ValueError as error:
        raise InvalidJson(f"the body is no JSON: {error}") from None


def _refuse_numbers(text: bytes) -> None:
    """Refuse numbers that Python would read as infinity. They are JSON, but couldn't be recorded."""
    try:
        check_numbers(text)
    except ValueError as error:
        raise InvalidJson(f"the body can't be read: {error}") from None


def _is_model(annotation: Any) -> bool:
    if typing.get_origin(annotation) is typing.Annotated:
        annotation = typing.get_args(annotation)[0]
    origin = typing.get_origin(annotation) or annotation
    return isinstance(origin, type) and (
        issubclass(origin, BaseModel) or dataclasses.is_dataclass(origin) or typing.is_typeddict(origin)
    )
