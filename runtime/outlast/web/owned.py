"""Whose workflows a caller may see: what is another's is not there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from outlast.core.errors import DatabaseUnavailable
from outlast.core.ports import Unreachable
from outlast.core.records import Standing
from outlast.web.admission import Admission, Admitted
from outlast.web.calls import Call
from outlast.web.problems import ProblemError
from outlast.web.routes import workflow_not_found


class Standings(Protocol):
    """Where it is read how workflows stand."""

    async def standing(self, ids: Sequence[str]) -> dict[str, Standing]:
        """How these workflows stand; unknown ids are left out. Raises Unreachable."""
        ...


class Owned:
    """Looks up workflows for their owners, and all of them for holders of a secret key."""

    def __init__(self, workflows: Standings, admission: Admission) -> None:
        self._workflows = workflows
        self._admission = admission

    async def admitted(self, call: Call) -> Admitted:
        """Who asks. Raises ProblemError (401)."""
        return await self._admission.to_management(call)

    async def owner(self, call: Call) -> str | None:
        """Whose workflows the caller may see; None for all. Raises ProblemError (401)."""
        return owner_of(await self.admitted(call))

    async def standing(self, workflow_id: str, owner: str | None) -> Standing:
        """How a workflow of `owner` stands. Raises ProblemError (404), DatabaseUnavailable."""
        with reaching():
            found = (await self._workflows.standing([workflow_id])).get(workflow_id)
        if found is None or owner not in (None, found.subject):
            raise ProblemError(workflow_not_found(workflow_id))
        return found


def owner_of(admitted: Admitted) -> str | None:
    """Whose workflows somebody who was let in may see; None for all."""
    return None if admitted.secret else admitted.subject


@contextmanager
def reaching() -> Iterator[None]:
    """A read that finds no database is told to callers as that."""
    try:
        yield
    except Unreachable as error:
        raise DatabaseUnavailable("the database can't be reached") from error
