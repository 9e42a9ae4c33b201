"""Which part of the document a caller sees: by default what they may call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

from outlast.sdk.auth import AuthMode
from outlast.sdk.definitions import HandlerDefinition, WorkflowDefinition
from outlast.web.callers.admission import Admitted, opens
from outlast.web.openapi.management import SECRET_PATHS
from outlast.web.openapi.shared import NOBODY, Item
from outlast.web.openapi.webhooks import webhook_of

OpenTo = Literal["caller", "public", "key", "off"]
"""`OUTLAST_OPENAPI`: what each may call; all but what is secret; the first, to no stranger; none."""

Gated = Callable[[str, Sequence[AuthMode] | None], bool]
"""Whether the gateway checks calls of a file's function that itself asks for this."""


class View(NamedTuple):
    """What one caller sees. `admitted` is None for a stranger; `public` adds all that needs no secret key."""

    admitted: Admitted | None
    public: bool

    def shows(self, file: str, served: Any, gated: Gated) -> bool:
        """Whether this function is shown."""
        if self.admitted is not None and self.admitted.secret:
            return True
        auth = served.auth if isinstance(served, WorkflowDefinition | HandlerDefinition) else None
        if self.public:
            return auth is None or any(mode.kind != "secret" for mode in auth)
        if webhook_of(served) is not None:
            return False  # its sender knows it already
        if gated(file, auth) and self.admitted is None:
            return False
        # guard: everybody-reads-of-all = True
        return auth is None or any(opens(self.admitted, mode) for mode in auth)

    def of_management(self, paths: dict[str, Item]) -> dict[str, Item]:
        """Those of the management paths that are shown."""
        if self.public or (self.admitted is not None and self.admitted.secret):
            return paths
        if self.admitted is not None and self.admitted.subject is not None:
            return {path: item for path, item in paths.items() if path not in SECRET_PATHS}
        return {path: item for path, item in paths.items() if item.get("get", {}).get("security") == [NOBODY]}
