"""The document as a whole, and the endpoint that serves it: made once for a version of the functions."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Protocol

from pydantic_core import to_json

from outlast.observe.redaction import redactor
from outlast.web.answers import JSON, NO_STORE, Answer
from outlast.web.calls import Call
from outlast.web.openapi import webhooks
from outlast.web.openapi.functions import File, Gated, function_paths
from outlast.web.openapi.management import SCHEMAS, management_paths
from outlast.web.openapi.schemas import Schemas
from outlast.web.openapi.shared import (
    ACCEPTED,
    HEADERS,
    PARAMETERS,
    PROBLEM,
    RESPONSES,
    SECURITY_SCHEMES,
    Item,
)

ABOUT = """Durable functions. A call with an `Idempotency-Key` is one workflow, however often it is sent.
`OPTIONS` is answered on every path, before it is asked who calls; all answers may be read from any origin."""


class Functions(Protocol):
    """The function files."""

    def files(self) -> Sequence[File]:
        """All of them, broken ones too."""
        ...


class OpenApi:
    """Serves the document. `version` is Outlast's; `gated` says whether the gateway asks who calls."""

    def __init__(self, functions: Functions, version: str, gated: Gated) -> None:
        self._functions = functions
        self._version = version
        self._gated = gated
        self._making = asyncio.Lock()
        self._made: tuple[tuple[object, ...], bytes] | None = None

    async def answer(self, call: Call) -> Answer:
        """The document as it is now."""
        async with self._making:
            files = list(self._functions.files())
            key = tuple((file.name, file.version, tuple(file.served)) for file in files)
            if self._made is None or self._made[0] != key:
                # In a thread: describing many models takes long enough to hold up others.
                self._made = key, await asyncio.to_thread(self._make, files)
            return Answer(200, self._made[1], [JSON, NO_STORE])

    def _make(self, files: Sequence[File]) -> bytes:
        made = document(files, self._version, self._gated)
        # A default may come from the environment: `def f(token: str = os.environ["TOKEN"])`.
        return redactor.redact(to_json(made, inf_nan_mode="null").decode()).encode()


def document(files: Sequence[File], version: str, gated: Gated) -> Item:
    """The OpenAPI 3.1 document of `files` and of the management routes."""
    schemas = Schemas({"Problem": PROBLEM, "Accepted": ACCEPTED, **SCHEMAS})
    paths = function_paths(files, schemas, gated)
    required = {**PARAMETERS["Idempotency-Key"], "required": True}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Outlast", "version": version, "description": ABOUT},
        "servers": [{"url": "/"}],
        "paths": {**paths, **management_paths()},
        "components": {
            "schemas": schemas.components,
            "responses": {**RESPONSES, **webhooks.RESPONSES},
            "parameters": {**PARAMETERS, "Required-Idempotency-Key": required},
            "headers": HEADERS,
            "securitySchemes": SECURITY_SCHEMES,
        },
    }
