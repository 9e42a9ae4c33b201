"""The operations that a workflow's body may ask for.

The SDK makes them as values, the engine carries them out.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Generic, NamedTuple, TypeVar
from zlib import crc32

from msgspec import field
from pydantic import BaseModel
from pydantic_core import to_json

from outlast.core import kinds
from outlast.core.errors import UsageError
from outlast.core.events import event_record_name, taking_name
from outlast.core.frozen import Frozen
from outlast.core.maps import Query
from outlast.core.messages import receive_name
from outlast.core.placement import USUAL, Placement
from outlast.core.verbs import UNDO, Verb
from outlast.sdk.definitions import StepDefinition, TransactionDefinition, WorkflowDefinition

Args = tuple[Any, ...]
Kwargs = dict[str, Any]
D = TypeVar("D", StepDefinition, TransactionDefinition)


class Operation(Frozen, eq=False):
    """What all have. None is equal to another: two calls with the same arguments are two operations."""

    kind: ClassVar[str]

    @property
    def name(self) -> str:
        """The name in its record."""
        raise NotImplementedError

    @property
    def fingerprint(self) -> int | None:
        """A fingerprint of its arguments, text or ids, if that is cheap."""
        return None


class _OfFunction(Operation, Generic[D]):
    definition: D
    args: Args
    kwargs: Kwargs

    @property
    def name(self) -> str:
        return self.definition.name

    @property
    def fingerprint(self) -> int | None:
        return fingerprint_of_call(self.args, self.kwargs)


class Step(_OfFunction[StepDefinition]):
    """Replay or run a step."""

    kind: ClassVar[str] = kinds.STEP


class Transaction(_OfFunction[TransactionDefinition]):
    """Replay or run a transaction."""

    kind: ClassVar[str] = kinds.TRANSACTION


class Sleep(Operation):
    """Sleep for a duration, or until a Unix time."""

    kind: ClassVar[str] = kinds.SLEEP
    name: ClassVar[str] = "sleep"
    duration_s: float | None
    until_s: float | None = None


class Receive(Operation):
    """Wait for the next message of a topic (empty: the one without a name); its JSON text, None if none."""

    kind: ClassVar[str] = kinds.RECEIVE
    topic: str
    timeout_s: float | None

    @property
    def name(self) -> str:
        return receive_name(self.topic)


class Send(Operation):
    """Send a message (JSON text) once; its id."""

    kind: ClassVar[str] = kinds.SEND
    workflow_id: str
    body: str
    topic: str
    key: str | None

    @property
    def name(self) -> str:
        return f"send to {self.workflow_id}"

    @property
    def fingerprint(self) -> int | None:
        return fingerprint_of_text(self.body)


class Publish(Operation):
    """Publish an event (JSON text) once."""

    kind: ClassVar[str] = kinds.PUBLISH
    event: str
    body: str

    @property
    def name(self) -> str:
        return event_record_name(self.event)

    @property
    def fingerprint(self) -> int | None:
        return fingerprint_of_text(self.body)


class SetAttributes(Operation):
    """Change the workflow's attributes (JSON) once; null takes one away."""

    kind: ClassVar[str] = kinds.ATTRIBUTES
    name: ClassVar[str] = "set_attributes"
    body: str

    @property
    def fingerprint(self) -> int | None:
        return fingerprint_of_text(self.body)


class ReadAttributes(Operation):
    """Read the workflow's attributes, as they stand now."""

    kind: ClassVar[str] = kinds.READ_ATTRIBUTES
    name: ClassVar[str] = "attributes"


class Callback(Operation):
    """Make a link by which somebody sends messages of a topic; its URL. `uses` None: any number of them."""

    kind: ClassVar[str] = kinds.CALLBACK
    topic: str
    expires_s: float
    uses: int | None
    of: Any

    @property
    def name(self) -> str:
        return f"callback {self.topic}".rstrip()


class Undo(Operation):
    """Note (JSON text) what a saga would undo, has undone, or failed to undo until now."""

    FAILED: ClassVar[str] = "undo failed"

    kind: ClassVar[str] = kinds.UNDO
    UNDONE: ClassVar[str] = "undone"
    STANDING: ClassVar[str] = "standing"
    """What couldn't be undone. The answer is whether to try again."""
    name: str
    body: str
    note: list[str] = field(default_factory=list)
    """For a note before a step: its step id, once it is made. For `undone`: the note of what was undone."""

    @property
    def fingerprint(self) -> int | None:
        # The text of an error may differ from run to run.
        return None if self.name == self.FAILED else fingerprint_of_text(self.body)


class _OfChildren(Operation):
    """What it does to children of a workflow is its name's first word."""

    does: ClassVar[str]
    workflow: WorkflowDefinition

    @property
    def name(self) -> str:
        return f"{self.does} {self.workflow.name}"

    @property
    def former_names(self) -> Sequence[str]:
        """Its names before its workflow was renamed."""
        return [f"{self.does} {each}" for each in former_names(self.workflow)]


class Start(_OfChildren):
    """Start a child once, under its own key if it has one. Gives its id.

    A child that is neither `detached` nor has a key must end by its parent's deadline.
    """

    kind: ClassVar[str] = kinds.START
    does: ClassVar[str] = "start"
    args: Args
    kwargs: Kwargs
    key: str | None
    detached: bool
    placement: Placement = USUAL

    @property
    def fingerprint(self) -> int | None:
        return fingerprint_of_call(self.args, self.kwargs)


class StartAll(_OfChildren):
    """Start a child for each input, each once. Gives the prefix of their ids, and the ids that differ."""

    kind: ClassVar[str] = kinds.START_ALL
    does: ClassVar[str] = "start all"
    items: Sequence[Any]
    """The only argument of each child."""
    detached: bool
    placement: Placement = USUAL

    @property
    def fingerprint(self) -> int | None:
        return fingerprint_of_call(tuple(self.items), {})


def former_names(workflow: WorkflowDefinition) -> list[str]:
    """The former names of a workflow's function, for all names under which it was served."""
    return [each.rpartition("/")[2].replace("-", "_") for each in workflow.aliases]


class Generated(NamedTuple):
    """The items of a map that a step yields."""

    definition: StepDefinition
    args: Args
    kwargs: Kwargs

    def __await__(self) -> Any:
        name = self.definition.name
        raise UsageError(
            f"{name}(…) gives the items of a map: write `await map_(…, {name}(…))` without another await"
        )


class Map(_OfChildren):
    """Run a child for each item. Gives how many there were, and how they ended."""

    kind: ClassVar[str] = kinds.MAP
    does: ClassVar[str] = "map"
    items: Sequence[Any] | Query | Generated
    keys: Sequence[str] | Callable[[Any], str] | None
    """For a list the key of each item; for a query the function that makes keys. None: their places."""
    concurrency: int
    tolerate: int | float
    on_fail: str


class Result(Operation):
    """Wait for another workflow; what it raised is looked for where `workflow` is defined."""

    kind: ClassVar[str] = kinds.RESULT
    workflow_id: str
    workflow: WorkflowDefinition | None

    @property
    def name(self) -> str:
        return f"result of {self.workflow_id}"


class WaitAny(Operation):
    """Wait for the first of these workflows to end; its id, None if none has ended within `timeout_s`."""

    kind: ClassVar[str] = kinds.WAIT_ANY
    workflow_ids: tuple[str, ...]
    timeout_s: float | None

    @property
    def name(self) -> str:
        return f"first of {len(self.workflow_ids)} workflows"

    @property
    def fingerprint(self) -> int | None:
        return fingerprint_of_text("\n".join(self.workflow_ids))


class Cancel(Operation):
    """Cancel another workflow, if it has not ended."""

    kind: ClassVar[str] = kinds.CANCEL
    workflow_id: str
    mode: str = UNDO
    why: str | None = None

    @property
    def name(self) -> str:
        return f"cancel {self.workflow_id}"


class Act(Operation):
    """Do a verb of core.verbs to another workflow; what that returns."""

    kind: ClassVar[str] = kinds.ACT
    verb: Verb
    workflow_id: str
    arguments: Mapping[str, Any]

    @property
    def name(self) -> str:
        return f"{self.verb.name} {self.workflow_id}"


class TakeEvent(Operation):
    """Take the next event of a workflow after a number, or the `newest` one; see core.events.Taken."""

    kind: ClassVar[str] = kinds.EVENT
    workflow_id: str
    event: str
    after: int = 0
    newest: bool = False
    timeout_s: float | None = None

    @property
    def name(self) -> str:
        return taking_name(self.event, self.workflow_id)


class Timer(Operation):
    """Call back at a time of the body's loop, in Unix seconds. asyncio asks for these, not the SDK."""

    kind: ClassVar[str] = kinds.TIMER
    name: ClassVar[str] = "timer"
    when_s: float


class Stop(Operation):
    """Undo what can be undone, and end. Nobody calls it: it comes from outside."""

    kind: ClassVar[str] = kinds.STOP
    name: ClassVar[str] = "stop"


CHARS_MAX = 2_000
ITEMS_MAX = 100
DEPTH_MAX = 4
_ALWAYS_SMALL = frozenset({int, float, bool, type(None)})


def fingerprint_of_call(args: tuple[Any, ...], kwargs: dict[str, Any]) -> int | None:
    """A fingerprint below 2³². If it differs on replay, the body has changed.

    None for large arguments, and for arguments that JSON can't hold.
    """
    if not _are_small(args, len(args), 0) or (kwargs and not _are_small(kwargs.values(), len(kwargs), 0)):
        return None
    try:
        return crc32(to_json((args, kwargs)))
    except Exception:  # noqa: BLE001 - a foreign class may raise anything; then there is no fingerprint
        return None


def fingerprint_of_text(text: str) -> int | None:
    """The fingerprint of one text."""
    return crc32(text.encode()) if len(text) <= CHARS_MAX else None


def _are_small(values: Any, count: int, depth: int) -> bool:
    if count > ITEMS_MAX or depth >= DEPTH_MAX:
        return False
    for each in values:  # noqa: SIM110 - a generator with `all` takes three times as long, on each call
        if type(each) not in _ALWAYS_SMALL and not _is_small(each, depth + 1):
            return False
    return True


def _is_small(value: Any, depth: int) -> bool:
    if isinstance(value, str | bytes):
        return len(value) <= CHARS_MAX
    if isinstance(value, dict):
        return _are_small(value.values(), len(value), depth)
    if isinstance(value, list | tuple | set | frozenset):
        return _are_small(value, len(value), depth)
    if isinstance(value, BaseModel) or (dataclasses.is_dataclass(value) and hasattr(value, "__dict__")):
        return _are_small(value.__dict__.values(), len(value.__dict__), depth)
    return True
