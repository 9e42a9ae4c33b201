"""Messages to workflows over HTTP."""

from __future__ import annotations

from outlast.core.errors import (
    DatabaseUnavailable,
    InvalidJson,
    NotSerializable,
    WorkflowEnded,
    WorkflowNotFound,
)
from outlast.core.messages import TOPIC_CHARS_MAX
from outlast.core.names import parse_key
from outlast.core.resources import WORKFLOWS
from outlast.engine.engine import Engine
from outlast.web.callers.admission import Admission
from outlast.web.http.answers import JSON, Answer
from outlast.web.http.bodies import read_json, refuse_encoded
from outlast.web.http.calls import Call
from outlast.web.http.documents import document
from outlast.web.http.off_loop import run_by_size
from outlast.web.http.parameters import Parameters, invalid
from outlast.web.http.problems import Problem, ProblemError
from outlast.web.http.routes import decode_part, not_found
from outlast.web.invoking.results import accepted_headers


class MessageRoutes:
    """The endpoints under a workflow's `/messages`, for holders of a secret key."""

    def __init__(self, engine: Engine, admission: Admission, body_bytes_max: int) -> None:
        self._engine = engine
        self._admission = admission
        self._body_bytes_max = body_bytes_max

    async def send(self, call: Call, workflow_id: str, raw_topic: str = "") -> Answer:
        """Send the body: 202 once it is durable. The same key sends it once."""
        await self._admission.to_operation(call)
        Parameters(call, ())
        topic = decode_part(raw_topic)
        if topic is None or len(topic) > TOPIC_CHARS_MAX:
            raise invalid("topic", f"a topic is 1 to {TOPIC_CHARS_MAX} characters in UTF-8, none of them NUL")
        key = parse_key(call.header_values(b"idempotency-key"))
        refuse_encoded(call)
        sent = await call.json_body(self._body_bytes_max)
        body, _ = await run_by_size(len(sent), read_json, sent, "the message")
        try:
            message_id = await self._engine.host.send(workflow_id, body, topic, key)
        except WorkflowNotFound:
            raise ProblemError(not_found(WORKFLOWS, workflow_id)) from None
        except WorkflowEnded as error:
            raise ProblemError(Problem(error.code, str(error), workflow_id=workflow_id)) from None
        except NotSerializable as error:
            raise InvalidJson(str(error)) from error
        except DatabaseUnavailable as error:
            if key is not None:
                raise
            raise DatabaseUnavailable(
                f"{error}; only with an Idempotency-Key is it safe to send again"
            ) from error
        answer = document({"workflow_id": workflow_id, "message_id": message_id})
        return Answer(202, answer.json, [JSON, *accepted_headers(workflow_id)])
