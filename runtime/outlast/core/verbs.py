"""What callers can do to a workflow, as a table: HTTP routes, OpenAPI and the commands are made of it.

How a verb changes the status is in `core.status.TRANSITIONS`, under its `change`. Its statement in
`store/workflows.sql` has its name; its parameters are `workflow_id`, `nonce` and the verb's arguments.
"""

from __future__ import annotations

from typing import NamedTuple

from outlast.core.resources import WORKFLOW_PATH
from outlast.core.status import TRANSITIONS, Change, Status


class Argument(NamedTuple):
    """A whole number that a verb needs: a parameter over HTTP, the second argument of the command."""

    name: str
    minimum: int
    maximum: int
    about: str


class Verb(NamedTuple):
    """One row of the table."""

    name: str
    """Name of its statement and its command."""
    paths: tuple[str, ...]
    """The paths that it is posted to."""
    change: Change | None
    """How it changes the workflow's status; None if it doesn't."""
    about: str
    """For OpenAPI."""
    done: str
    """For OpenAPI: what a 2xx answer means."""
    help: str
    """Help of the command."""
    past: str
    """What the command prints before the workflow's id."""
    secret: bool = False
    """Whether it needs a secret key; otherwise the workflow's owner may do it, too."""
    arguments: tuple[Argument, ...] = ()

    @property
    def statuses(self) -> frozenset[Status]:
        """The statuses that a workflow may have for it."""
        return frozenset(before for before, change in TRANSITIONS if before and change is self.change)

    def refusal(self, status: Status) -> str:
        """What a caller is told of a workflow of another status."""
        needed = " or ".join(each for each in Status if each in self.statuses)
        return f"the workflow is {status}; only one that is {needed} can be {self.past}"

    @property
    def already(self) -> frozenset[Status]:
        """The statuses that it leads to: where one is reached already, doing it again is no error."""
        reached = {after for (_, change), after in TRANSITIONS.items() if change is self.change}
        return frozenset(reached - self.statuses)


CANCEL = Verb(
    name="cancel",
    paths=(f"{WORKFLOW_PATH}/cancel",),
    change=Change.CANCEL,
    about="Cancel a workflow; cancelling it again changes nothing",
    done="It is cancelled.",
    help="Cancel a workflow. What it has done stays done; it does nothing more.",
    past="cancelled",
)
SEND = Verb(
    name="send",
    paths=(f"{WORKFLOW_PATH}/messages", f"{WORKFLOW_PATH}/messages/{{topic}}"),
    change=None,
    about="Send a message to a workflow",
    done="It is durable.",
    help="Send a message to a workflow. The same key sends it once.",
    past="sent",
    secret=True,
)

VERBS = (CANCEL, SEND)
"""All of them, as OpenAPI lists them."""
