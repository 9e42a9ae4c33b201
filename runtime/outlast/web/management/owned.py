"""Which workflows a caller may see, and how much of them. Those of others don't exist for them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from outlast.core.errors import DatabaseUnavailable, Overloaded
from outlast.core.ports import HeldUp, TookTooLong, Unreachable
from outlast.core.records import Ownership
from outlast.core.resources import WORKFLOWS
from outlast.store.workflows import PostgresWorkflows
from outlast.web.callers.admission import Admission, Admitted
from outlast.web.http.calls import Call
from outlast.web.http.problems import TOO_LONG, ProblemError
from outlast.web.http.routes import not_found

VisibleSteps = Callable[[str], frozenset[str] | None]
"""The steps of a function, by its name, whose outputs owners of its workflows may see; None for all."""


class Owned:
    """Finds workflows for their owners, and all workflows for holders of a secret key."""

    def __init__(
        self, workflows: PostgresWorkflows, admission: Admission, visible_steps: VisibleSteps
    ) -> None:
        self._workflows = workflows
        self._admission = admission
        self._visible_steps = visible_steps

    async def admitted(self, call: Call) -> Admitted:
        """Who asks. Raises ProblemError (401)."""
        return await self._admission.to_management(call)

    async def owner(self, call: Call, *, secret: bool = False) -> str | None:
        """Whose workflows the caller may see; None for all. Raises ProblemError (401).

        `secret`: holders of a secret key alone are let in.
        """
        # guard: secret-resources-for-users
        if secret:
            await self._admission.to_operation(call)
            return None
        return owner_of(await self.admitted(call))

    async def ownership(self, workflow_id: str, owner: str | None) -> Ownership:
        """Whose a workflow is that `owner` may see. Raises ProblemError (404), DatabaseUnavailable.

        Nothing else of the row is read before: another's takes no longer than one that isn't there.
        """
        found = await self._find(workflow_id)
        if found is None or owner not in (None, found.subject):
            raise ProblemError(not_found(WORKFLOWS, workflow_id))
        return found

    def visible_steps(self, found: Ownership, owner: str | None) -> frozenset[str] | None:
        """The names of the steps whose outputs `owner` may see; None for all."""
        # guard: steps-outputs-for-users = None
        return None if owner is None else self._visible_steps(found.function)

    async def shows_values(self, found: Ownership, owner: str | None) -> bool:
        """Whether `owner` may see input and output. A child's are like outputs of its parent's steps."""
        if owner is None or found.parent is None:
            return True
        parent = await self._find(found.parent)
        return parent is not None and parent.subject == owner and self.visible_steps(parent, owner) is None

    async def _find(self, workflow_id: str) -> Ownership | None:
        with as_unavailable():
            return (await self._workflows.ownership([workflow_id])).get(workflow_id)


def owner_of(admitted: Admitted) -> str | None:
    """The user whose workflows an admitted caller may see; None for all."""
    return None if admitted.secret else admitted.subject


@contextmanager
def as_unavailable() -> Iterator[None]:
    """Raise Unreachable as DatabaseUnavailable, and what took too long as a problem: callers are told."""
    try:
        yield
    except TookTooLong as error:
        raise ProblemError(TOO_LONG) from error
    except HeldUp as error:
        raise Overloaded(str(error)) from error
    except Unreachable as error:
        raise DatabaseUnavailable("the database can't be reached") from error
