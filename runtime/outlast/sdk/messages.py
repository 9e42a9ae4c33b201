"""`receive` and `send`: messages to a workflow, each received once, in the order sent."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any

from outlast.core.codec import Codec
from outlast.core.errors import UsageError
from outlast.core.messages import TOPIC_CHARS_MAX
from outlast.core.names import check_key
from outlast.core.storable import check_json, check_text
from outlast.sdk.calls import ANYWHERE, Done, ask, do
from outlast.sdk.durations import Duration, seconds_of
from outlast.sdk.handles import WorkflowHandle
from outlast.sdk.operations import Receive, Send
from outlast.sdk.running import line_in_body
from outlast.sdk.values import Values, read_as

_RAISE: Any = object()
VALUES = Values("the message")
"""Codecs of messages."""


def receive(
    topic: str | None = None, *, timeout: Duration | None = None, default: Any = _RAISE, of: Any = Any
) -> Any:
    """Wait for the next message of `topic` (None: the topic without a name), through crashes and deploys.

    `await receive(…)` in an `async def` workflow, `receive(…)` in a `def` one. Messages of a topic come in
    the order sent, each to one receive. `of` is the type that it is read as; one that doesn't fit it raises
    InvalidInput, and is received all the same. After `timeout` (seconds or a timedelta) it raises
    TimeoutError, or gives `default` if there is one. Raises UsageError outside a workflow.
    """
    given = topic_of(topic, "receive")
    timeout_s = None if timeout is None else seconds_of(timeout, "receive(timeout)")
    codec = VALUES.codec(of)
    line = line_in_body("receive", "belongs in a workflow's body: its steps get messages as arguments")

    def read(body: str | None) -> Any:
        return _value(body, codec, given, timeout_s, default)

    return ask(Receive(given, timeout_s), line, "receive", read)


def _value(body: str | None, codec: Codec, topic: str, timeout_s: float | None, default: Any) -> Any:
    of_topic = f" of topic {topic!r}" if topic else ""
    if body is not None:
        return read_as(codec, body, f"a message{of_topic}")
    if default is _RAISE:
        raise TimeoutError(f"no message{of_topic} came within {timeout_s:g} s")
    return default


def send(
    workflow: str | WorkflowHandle[Any],
    message: Any,
    topic: str | None = None,
    *,
    idempotency_key: str | None = None,
) -> Awaitable[int]:
    """Send `message` to a workflow; its message id once it is durable.

    `await send(…)`, in `def` functions `send(…)`. In a workflow it is a recorded step that sends once;
    elsewhere each call sends another, but under the same `idempotency_key` once for each workflow. Plain JSON
    values, dataclasses and pydantic models can be sent. Raises WorkflowNotFound, WorkflowEnded, KeyReused
    (the same key with another message), NotSerializable, DatabaseUnavailable.
    """
    workflow_id = workflow.workflow_id if isinstance(workflow, WorkflowHandle) else workflow
    if not isinstance(workflow_id, str) or "\0" in workflow_id:
        raise UsageError(f"send takes the id of a workflow or a WorkflowHandle, not {workflow!r:.100}")
    check_text(workflow_id, "send: the workflow's id")
    given = topic_of(topic, "send")
    if idempotency_key is not None:
        idempotency_key = check_key(idempotency_key)
    body = VALUES.encode(message)
    check_json(body, "the message")
    sent = do(
        "send",
        Send(workflow_id, body, given, idempotency_key),
        lambda host: host.send(workflow_id, body, given, idempotency_key),
        where=ANYWHERE,
    )
    return sent if isinstance(sent, Awaitable) else Done(sent)


def topic_of(topic: str | None, where: str) -> str:
    """A topic as it is recorded. Raises UsageError, which names the place `where`, if it is invalid."""
    if topic is None:
        return ""
    if not isinstance(topic, str) or not 1 <= len(topic) <= TOPIC_CHARS_MAX or "\0" in topic:
        raise UsageError(f"{where} takes a topic of 1 to {TOPIC_CHARS_MAX} characters, not {topic!r:.100}")
    check_text(topic, f"{where}: the topic")
    return str.__str__(topic)  # for an enum's member its value
