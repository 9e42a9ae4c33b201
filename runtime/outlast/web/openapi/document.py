"""The whole document, made once for each version of the functions, and its endpoint."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from pydantic_core import to_json

from outlast.core.callers import Caller
from outlast.functions.catalog import Catalog, FunctionFile
from outlast.observe.redaction import redactor
from outlast.web.callers.admission import Admission, Admitted
from outlast.web.callers.tokens import refusal
from outlast.web.http.answers import JSON, NO_STORE, Answer
from outlast.web.http.calls import Call
from outlast.web.openapi import webhooks
from outlast.web.openapi.functions import function_paths
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
from outlast.web.openapi.views import Gated, OpenTo, View

ABOUT = """Durable functions. A call with an `Idempotency-Key` is one workflow, however often it is sent.
`OPTIONS` is answered on every path, before it is asked who calls; all answers may be read from any origin."""


VIEWS_MAX = 32
ALL = View(Admitted(Caller("secret")), public=False)
"""The view of a holder of a secret key."""


class OpenApi:
    """Serves the document. `version` is Outlast's; `open_to` says who sees what."""

    def __init__(self, functions: Catalog, version: str, admission: Admission, open_to: OpenTo) -> None:
        self._functions = functions
        self._version = version
        self._admission = admission
        self._open_to = open_to
        self._lock = asyncio.Lock()
        self._version_of_files: tuple[object, ...] = ()
        self._documents: dict[object, bytes] = {}

    async def answer(self, call: Call) -> Answer:
        """The document as it is now, as the caller sees it. Raises ProblemError (401)."""
        admitted = await self._admission.identify(call)
        if admitted is None and self._open_to == "key":
            detail = "Missing authorization header: a key of the project, or a user's token, opens this"
            raise refusal("UNAUTHORIZED_NO_AUTH_HEADER", detail)
        view = View(admitted, self._open_to == "public")
        async with self._lock:
            files = list(self._functions.files())
            version = tuple((file.name, file.version, tuple(file.served)) for file in files)
            if self._version_of_files != version or len(self._documents) >= VIEWS_MAX:
                self._version_of_files, self._documents = version, {}
            shown = self._view_key(files, view)
            if shown not in self._documents:
                # In a thread, because many models take long to describe.
                self._documents[shown] = await asyncio.to_thread(self._make, files, view)
            return Answer(200, self._documents[shown], [JSON, NO_STORE])

    def _view_key(self, files: Sequence[FunctionFile], view: View) -> object:
        """The key of a view: many callers see the same."""
        gated = self._admission.is_gated
        names = (
            (file.served_as, name)
            for file in files
            for name, served in file.served.items()
            if view.shows(file.served_as, served, gated)
        )
        return tuple(names), tuple(view.of_management(management_paths()))

    def _make(self, files: Sequence[FunctionFile], view: View) -> bytes:
        whole = document(files, self._version, self._admission.is_gated, view)
        # A default may come from the environment: `def f(token: str = os.environ["TOKEN"])`.
        return redactor.redact(to_json(whole, inf_nan_mode="null").decode()).encode()


def document(files: Sequence[FunctionFile], version: str, gated: Gated, view: View = ALL) -> Item:
    """The OpenAPI 3.1 document of what `view` shows of `files` and of the management routes."""
    schemas = Schemas({"Problem": PROBLEM, "Accepted": ACCEPTED, **SCHEMAS})
    paths = function_paths(files, schemas, gated, lambda file, served: view.shows(file, served, gated))
    required = {**PARAMETERS["Idempotency-Key"], "required": True}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Outlast", "version": version, "description": ABOUT},
        "servers": [{"url": "/"}],
        "paths": {**paths, **view.of_management(management_paths())},
        "components": {
            "schemas": schemas.components,
            "responses": {**RESPONSES, **webhooks.RESPONSES},
            "parameters": {**PARAMETERS, "Required-Idempotency-Key": required},
            "headers": HEADERS,
            "securitySchemes": SECURITY_SCHEMES,
        },
    }
