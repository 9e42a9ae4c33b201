"""Which verbs a workflow allows as it stands: by the table of changes, and by what holds it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from outlast.core.resources import WORKFLOWS
from outlast.core.status import LIVE, Status
from outlast.core.verbs import BULK, CANCEL, DELETE, DRAIN_QUEUE, PAUSE, RESUME, SEND, SETTLE, VERBS, Verb

DANGEROUS = frozenset({CANCEL.name, DELETE.name, DRAIN_QUEUE.name})
"""What can't be taken back."""


def allowed_verbs(run: Mapping[str, Any]) -> list[Verb]:
    """The verbs for a workflow as the API shows it, those first that mend."""
    status, held = Status(run["status"]), run.get("held") is not None
    return [each for each in VERBS if each.noun is WORKFLOWS and each.of_one and _fits(each, status, held)]


def _fits(verb: Verb, status: Status, held: bool) -> bool:
    """By the table of changes; what is held is what can be resumed, and of live ones what can be settled."""
    if verb in (SEND, BULK) or status not in verb.statuses:
        return False
    if verb is RESUME or (verb is SETTLE and status in LIVE):
        return held
    return not (verb is PAUSE and held)
