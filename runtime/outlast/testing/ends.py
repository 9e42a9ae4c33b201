"""How a workflow ends without a crash: a test passes only if it ends as the test says."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from outlast.core.errors import NotSerializable, UsageError
from outlast.core.failures import globals_of
from outlast.core.records import WorkflowState
from outlast.core.status import Status
from outlast.engine.waits.results import result_of
from outlast.testing.errors import Deadlock, Unproved
from outlast.testing.trials import Subject, Trial

End = tuple[Status, str | None, str | None]
"""Status, output and error."""

NEVER_MEANT = (UsageError, NotSerializable, AssertionError)
"""A workflow never ends so on purpose: the test fails with these even if it asks for them."""


def error_of(state: WorkflowState, scope: Mapping[str, Any]) -> Exception | None:
    """The error that an ended workflow raised, or that stands for its end without a result."""
    try:
        result_of(state, scope)
    except Exception as error:  # noqa: BLE001 - whatever the workflow raised
        return error
    return None


def check_calm(subject: Subject, calm: Trial) -> None:
    """A run without a crash must end as the test says. Raises what the workflow raises, as `run` does.

    Raises UsageError for a step without a stand-in, Deadlock, and Unproved for a success if the test asks for
    an error.
    """
    if calm.refusals:
        raise UsageError(calm.refusals[0])
    if calm.deadlock is not None:
        raise Deadlock(calm.deadlock)
    assert calm.state is not None
    error = error_of(calm.state, globals_of(subject.definition.fn))
    if error is None and subject.raises is not None:
        raise Unproved(f"{subject.definition.name} {say_end(calm)}, and was to raise {subject.raises}")
    if error is not None:
        meant = subject.raises is not None and isinstance(error, subject.raises)
        if not meant or isinstance(error, NEVER_MEANT):
            raise error


def say_end(calm: Trial) -> str:
    """How the calm run ended, for the first line of a report."""
    assert calm.state is not None
    end = calm.ends[calm.state.workflow_id]
    if end[0] is Status.SUCCESS:
        return "ended with SUCCESS"
    return f"ended with {describe_end(end)}"


def describe_end(end: End) -> str:
    """The status with the error, or with the result."""
    status, output, error = end
    if error:
        document = json.loads(error)
        failure = document.get("failure", {})
        kind = failure.get("type", document.get("code"))
        return f"{status.value} {kind}: {failure.get('message', document.get('message'))}"
    return f"{status.value} {output or ''}"[:300]


def take_raises(value: Any, what: str) -> Any:
    """Check the option `raises` of a proof. Raises UsageError."""
    listed = value if isinstance(value, tuple) else (value,)
    if value is not None and not all(
        isinstance(each, type) and issubclass(each, Exception) for each in listed
    ):
        raise UsageError(
            f"outlast.{what}(raises) takes a class of exceptions, or a tuple of them, not {value!r}"
        )
    return value
