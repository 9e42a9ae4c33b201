"""Callbacks in OpenAPI: what whoever has a link may do."""

from __future__ import annotations

from outlast.core.callbacks import PATH
from outlast.web.http.problems import Problem
from outlast.web.openapi.shared import (
    NOBODY,
    PARAMETERS,
    Item,
    answer_item,
    json_content,
    problem_item,
    reference,
)

CALLBACK_PATH = f"{PATH}{{token}}"

_REFUSALS: Item = {
    "404": problem_item(
        "It is none of this project's.", Problem("callback_unknown", "this link is not one of ours")
    ),
    "409": problem_item("It has had its answers.", Problem("callback_used", "this link was used already")),
    "410": problem_item(
        "It has expired, or its workflow is over.",
        Problem("callback_expired", "this link has expired"),
        Problem("callback_over", "what this link was for is over"),
    ),
    "503": reference("responses", "Unavailable"),
}
_SHOWN: Item = {
    "type": "object",
    "properties": {
        "open": {"const": True},
        "expires_at": {"type": "string", "format": "date-time"},
    },
    "required": ["open", "expires_at"],
}
_SENT: Item = {"type": "object", "properties": {"sent": {"const": True}}, "required": ["sent"]}


def callback_operations() -> dict[str, Item]:
    """By method. Neither takes a key."""
    open_to_all: Item = {"tags": ["callbacks"], "security": [NOBODY]}
    return {
        "get": {
            "operationId": "showCallback",
            "summary": "Ask whether a link may be answered; for browsers a page that answers it",
            **open_to_all,
            "responses": {"200": answer_item("It may.", _SHOWN), **_REFUSALS},
        },
        "post": {
            "operationId": "answerCallback",
            "summary": "Answer a workflow by its link",
            **open_to_all,
            "parameters": [
                {
                    **PARAMETERS["Idempotency-Key"],
                    "description": "Where a link takes several answers: the same key is the same answer.",
                }
            ],
            "requestBody": {"required": False, "content": json_content({})},
            "responses": {
                "202": answer_item("It is durable.", _SENT),
                **_REFUSALS,
                "422": reference("responses", "InvalidArgument"),
            },
        },
    }
