"""How a workflow ends: the row's values for what its function returned or raised."""

from __future__ import annotations

from collections.abc import Sequence
from types import CoroutineType
from typing import Any

from pydantic_core import to_json

from outlast.core.bounds import check_size
from outlast.core.codec import encode_answer
from outlast.core.errors import (
    CompensationFailed,
    InvalidInput,
    InvalidJson,
    NotSerializable,
    UsageError,
)
from outlast.core.failures import encode_failure
from outlast.core.observations import ResultChanged
from outlast.core.origins import comes_from_record, origins_of, standing_of
from outlast.core.records import Ending
from outlast.core.status import Status
from outlast.core.storable import clean_json, clean_text
from outlast.engine.execution.execution import Execution
from outlast.sdk.calls import Call
from outlast.sdk.http import HTTPException, Response


class InputRefused(Exception):
    """The recorded input isn't valid for the function. SQL can't check it, and the file may have changed."""

    def __init__(self, message: str, errors: Sequence[dict[str, Any]] = ()) -> None:
        super().__init__(message)
        self.errors = list(errors)

    @property
    def document(self) -> dict[str, Any]:
        """The row's error document."""
        return {"code": InvalidInput.code, "message": str(self), "errors": self.errors}


def success(execution: Execution, result: Any) -> Ending:
    """The end for a result. Raises NotSerializable, and UsageError for a call that was not awaited."""
    kind = type(result)  # a check against an abstract class takes longer
    # guard: calls-for-results
    if kind is CoroutineType or Call in kind.__mro__:
        told = repr(result)  # the log reports it with file and line
        if kind is CoroutineType:
            result.close()
            told = f"<{result.__qualname__}(…), to be awaited>"
        raise UsageError(f"{execution.function} returned {told}: write `return await …`")
    if isinstance(result, Response):
        response, output = result.record()
        return Ending(Status.SUCCESS, output=output, response=response)
    output, changed = encode_answer(execution.definition.codec, result)
    if changed is not None:
        execution.services.observe(ResultChanged(execution.workflow_id, execution.function, changed))
    return Ending(Status.SUCCESS, output=output)


def batch_success(execution: Execution, results: Any, count: int, *, single: bool) -> Ending:
    """The end for the results of `count` inputs, together with the inputs that were refused.

    For a `single` workflow, which is in no batch, it is the end for its one result.

    Raises NotSerializable, and UsageError for a list of another length.
    """
    # guard: batch-of-another-length without 2
    if not isinstance(results, list) or len(results) != count:
        got = f"a list of {len(results)}" if isinstance(results, list) else f"a {type(results).__qualname__}"
        raise UsageError(
            f"{execution.function} got {count} inputs and returned {got}: it returns a list with one "
            "result for each, in their order"
        )
    ends = [success(execution, each) for each in results]
    if single:
        return ends[0]
    refused = execution.refused
    texts = iter([each.output or "null" for each in ends])
    places = range(1, count + len(refused) + 1)
    output = f"[{','.join('null' if place in refused else next(texts) for place in places)}]"
    check_size(len(output.encode()), execution.definition.codec.of)
    errors = [(place, error_text(refusal_of(error).document)) for place, error in refused.items()]
    return Ending(Status.SUCCESS, output=output, refused=errors)


def refusal_of(error: InvalidInput | InvalidJson) -> InputRefused:
    """The refusal of a recorded input that isn't valid."""
    return InputRefused(str(error), error.errors if isinstance(error, InvalidInput) else ())


def failure(error: BaseException, last_timed: str | None = None) -> tuple[Ending, str | None]:
    """The end for an exception, and the text for the log: None for an HTTPException, which is an answer.

    The end names the records that the exception comes from (see core.origins).
    """
    if isinstance(error, InputRefused):
        return Ending(Status.ERROR, error=error_text(error.document)), str(error)
    steps, undone = origins_of(error, last_timed)
    origins: dict[str, Any] = {"steps": steps, "undone": undone} if undone else {"steps": steps}
    if isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        inner = error.exceptions[0]
        if isinstance(inner, HTTPException):
            error = inner
    if isinstance(error, HTTPException):
        document = {"code": "http_exception", "status": error.status, "detail": error.detail}
        document |= {"headers": list(error.headers.items()), **origins}
        text = error_text(document)
        try:
            check_size(len(text), "the detail of the HTTPException")
        except NotSerializable as refusal:
            error = refusal
        else:
            return Ending(Status.ERROR, error=text), None
    record = encode_failure(error)
    told: dict[str, Any]
    # A child's failed compensation belongs to the child: a retry of the child undoes it.
    # guard: childs-standing-taken-over = isinstance(error, CompensationFailed)
    if isinstance(error, CompensationFailed) and not comes_from_record(error):
        told = {"code": error.code, "message": "a saga could not be undone as a whole"}
        told |= {"steps": standing_of(error), "undone": error.undone, "standing": error.standing}
        told["failure"] = record
        return Ending(Status.ERROR, error=error_text(told)), record
    told = {"code": "workflow_error", **origins, "failure": record}
    return Ending(Status.ERROR, error=error_text(told)), record


def error_text(document: dict[str, Any]) -> str:
    """The JSON of the `error` column, which SQL reads. The failure is embedded as an object."""
    embedded = document.pop("failure", None)
    if isinstance(detail := document.get("detail"), str):
        document["detail"] = clean_text(detail)
    if isinstance(message := document.get("message"), str):
        document["message"] = clean_text(message)
    try:
        text = to_json(document, inf_nan_mode="strings").decode()
    except ValueError:
        told = {**document, "detail": clean_text(str(detail))}
        text = to_json(told, inf_nan_mode="strings").decode()
    return clean_json(text if embedded is None else f'{text[:-1]},"failure":{embedded}}}')
