"""The exception tree: everything Outlast raises at users, each with a stable code and a remedy.

::

    OutlastError
    ├── UsageError              the code calls Outlast in a way that can't work
    │   └── NotSerializable     a value would not come back from JSON the same
    ├── StepFailed              a step's recorded error whose class can't be rebuilt
    ├── MapFailed               more items of a map failed than were tolerated
    ├── NonDeterminism          replay met another step than the recorded one
    ├── CompensationFailed      not all that a saga had done could be undone
    ├── CallerTokenGone         the caller's token is needed and is no more
    ├── WorkflowError           how a workflow ended, seen by one who waits for it
    │   ├── WorkflowFailed
    │   ├── WorkflowCancelled
    │   │   └── WorkflowExpired
    │   ├── WorkflowTimeout
    │   └── RecoveryExhausted
    ├── WorkflowNotFound        a message to a workflow that isn't there
    ├── WorkflowEnded           a message to a workflow that has ended
    ├── InvalidInput            input that the function's annotations refuse
    ├── ValidatorFailed         a validator of the user's raised what refuses no value
    ├── InvalidJson             a body that is no JSON
    ├── TooManyValues           JSON that unfolds into more values than are taken
    ├── InvalidKey              an idempotency key that breaks the grammar
    ├── NotRecordable           a call that the database refuses to store; nothing was written
    ├── KeyReused               the same key with another payload
    ├── Overloaded              a bound of this instance is reached; nothing was written
    │   └── QueueFull           as many wait in a queue as may
    ├── RateLimited             a queue takes no more calls now; nothing was written
    ├── QueueBusy               a queue has the call's key at work already; nothing was written
    ├── QueueKeyMissing         the input has nothing where its queue finds the key; nothing was written
    ├── ShuttingDown            this instance takes no more work; nothing was written
    └── DatabaseUnavailable     Postgres can't be reached, or a start is in doubt

Control flow (`Suspended`, `LeaseLost`, …) is not an error: see `outlast.core.stops`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


class OutlastError(Exception):
    """The root. `code` is stable and meant for programs; the text is meant for people."""

    code = "outlast_error"


class UsageError(OutlastError):
    """The code calls Outlast in a way that can't work; the message shows the right way."""

    code = "usage_error"


class NotSerializable(UsageError):
    """A value can't be recorded, because it would not come back from JSON the same."""

    code = "not_serializable"


class StepFailed(OutlastError):
    """A step failed with an error whose class could not be rebuilt from its record.

    `step` names the step, `error_type` the original class, `error_message` its text.
    """

    code = "step_failed"

    def __init__(self, step: str, error_type: str, error_message: str) -> None:
        super().__init__(f"step {step!r} failed: {error_type}: {error_message}")
        self.step = step
        self.error_type = error_type
        self.error_message = error_message


class MapFailed(OutlastError):
    """More items of a map failed than were tolerated.

    Of `total` items `ok` succeeded and `failed` did not; the others never began. `errors` has the key and the
    error's text of the first 100 that failed.
    """

    code = "map_failed"

    def __init__(self, message: str, total: int, ok: int, failed: int, errors: list[list[str]]) -> None:
        super().__init__(message)
        self.total = total
        self.ok = ok
        self.failed = failed
        self.errors = errors


class CompensationFailed(OutlastError):
    """Not all that a saga had done could be undone.

    `undone` names the steps whose undo succeeded; `standing` has for each other one its `step`, its `undo`,
    the `result` of the step (`"UNKNOWN"` where it isn't known whether that took effect), and the `error` of
    the last try. Both are in the order in which they were undone.
    """

    code = "compensation_failed"

    def __init__(
        self, message: str, undone: Sequence[str] = (), standing: Sequence[Mapping[str, Any]] = ()
    ) -> None:
        super().__init__(message, undone, standing)
        self.undone = list(undone)
        self.standing = [dict(each) for each in standing]

    def __str__(self) -> str:
        return str(self.args[0])


class CallerTokenGone(OutlastError):
    """The caller's token is needed, and this process doesn't have it, or it has expired."""

    code = "caller_token_gone"


class NonDeterminism(OutlastError):
    """Replay met another step than the recorded one: the code changed, or it is not deterministic."""

    code = "non_determinism"


class WorkflowError(OutlastError):
    """How a workflow ended, raised at one who waits for its result."""

    code = "workflow_error"

    def __init__(self, workflow_id: str, message: str, details: Any = None) -> None:
        super().__init__(message)
        self.workflow_id = workflow_id
        self.details = details


class WorkflowFailed(WorkflowError):
    """The workflow's function raised; `details` holds the public part of the error."""


class WorkflowCancelled(WorkflowError):
    """Somebody cancelled the workflow."""

    code = "workflow_cancelled"


class WorkflowExpired(WorkflowCancelled):
    """The workflow could not begin within its queue's `start_within`."""

    code = "expired"


class WorkflowTimeout(WorkflowError):
    """The workflow passed its deadline."""

    code = "workflow_timeout"


class RecoveryExhausted(WorkflowError):
    """The instances that ran the workflow were lost too often."""

    code = "recovery_exhausted"


class ScheduleNotFound(OutlastError):
    """There is no schedule of this name."""

    code = "schedule_not_found"


class WorkflowNotFound(OutlastError):
    """There is no workflow with this id."""

    code = "workflow_not_found"


class WorkflowEnded(OutlastError):
    """The workflow has ended: it receives no more messages."""

    code = "workflow_ended"


class WrongState(OutlastError):
    """The verb or call doesn't apply to the workflow's current state; the text says what does."""

    code = "wrong_state"


class InvalidInput(OutlastError):
    """The input does not fit the function's annotations; `errors` is pydantic's list."""

    code = "invalid_input"

    def __init__(self, message: str, errors: list[dict[str, Any]]) -> None:
        super().__init__(message)
        # Lists instead of tuples, so that the error can be recorded unchanged.
        self.errors = [{**each, "loc": list(each["loc"])} if "loc" in each else each for each in errors]


def with_reasons(message: str, errors: Sequence[Mapping[str, Any]]) -> str:
    """The message of an InvalidInput, with pydantic's reason for each place."""
    told = [f"{'.'.join(map(str, each.get('loc', ()))) or 'body'}: {each['msg']}" for each in errors[:10]]
    return f"{message} ({'; '.join(told)})" if told else message


class ValidatorFailed(OutlastError):
    """A validator raised an exception that pydantic passes through. It is a fault of the code, not of the
    value.

    It is raised from the validator's exception, but doesn't quote it, because callers read this text.
    """

    code = "function_error"

    def __init__(self, whose: str, error: BaseException) -> None:
        super().__init__(
            f"a validator of {whose} raised {type(error).__name__}: "
            "only ValueError and AssertionError refuse a value"
        )


class InvalidJson(OutlastError):
    """JSON is needed, and the body isn't JSON."""

    code = "invalid_json"


class TooManyValues(OutlastError, ValueError):
    """The JSON has more values than are allowed (`OUTLAST_BODY_VALUES_MAX`)."""

    code = "payload_too_large"


class InvalidKey(OutlastError):
    """An idempotency key is repeated, empty, too long or malformed."""

    code = "idempotency_key_invalid"


class NotRecordable(OutlastError):
    """The database refuses to store a call:

    because of a constraint or trigger of the project, or of its text.
    """

    code = "not_recordable"


class KeyReused(OutlastError):
    """The same idempotency key came with another payload. Says nothing of the first call."""

    code = "idempotency_key_reused"


class Overloaded(OutlastError):
    """A limit of this instance is reached. Nothing was written."""

    code = "overloaded"


class QueueFull(Overloaded):
    """The queue's limit of waiting workflows is reached. Nothing was written."""

    code = "queue_full"


class RateLimited(OutlastError):
    """The queue takes no more calls for `retry_s` seconds. Nothing was written."""

    code = "rate_limited"

    def __init__(self, message: str, retry_s: float = 1.0) -> None:
        super().__init__(message)
        self.retry_s = retry_s


class QueueBusy(OutlastError):
    """A workflow of this key is running in the queue: `workflow_id`, if the caller may know it."""

    code = "queue_busy"

    def __init__(self, message: str, workflow_id: str | None = None) -> None:
        super().__init__(message)
        self.workflow_id = workflow_id


class QueueKeyMissing(OutlastError):
    """The input has no text, integer or boolean where the queue finds its key. Nothing was written."""

    code = "queue_key_missing"


class ShuttingDown(OutlastError):
    """This instance takes no more work. Nothing was written, or the workflow goes on elsewhere."""

    code = "shutting_down"


class DatabaseUnavailable(OutlastError):
    """Postgres can't be reached, or it is unknown whether a start was committed: the same key is safe."""

    code = "database_unavailable"
