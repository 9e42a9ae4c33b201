"""Which verbs a workflow allows as it stands: by the table of changes, and by what holds it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from outlast.core.resources import WORKFLOWS
from outlast.core.status import FAILED, LIVE, TRANSITIONS, Status
from outlast.core.verbs import (
    BULK,
    CANCEL,
    DELETE,
    FORK,
    PAUSE,
    RESUME,
    SEND,
    SET_WORKFLOW,
    SETTLE,
    VERBS,
    Verb,
)

DANGEROUS = frozenset({CANCEL.name, DELETE.name})
"""What can't be taken back."""

_ENDED = frozenset(Status) - LIVE
_ALL = frozenset(Status)
_WHERE: dict[str, frozenset[Status]] = {
    PAUSE.name: LIVE,
    RESUME.name: LIVE,
    FORK.name: _ALL,
    SETTLE.name: LIVE | FAILED,
    DELETE.name: _ENDED,
    SET_WORKFLOW.name: _ALL,
}
"""Of verbs that have no change in the table of changes."""

_WHERE_HELD = frozenset({RESUME.name})
_WHERE_QUIET = frozenset({SETTLE.name})
"""Of live ones only those that are held."""


def allowed_verbs(run: Mapping[str, Any]) -> list[Verb]:
    """The verbs for a workflow as the API shows it, those first that mend."""
    status, held = Status(run["status"]), run.get("held") is not None
    return [each for each in VERBS if each.noun is WORKFLOWS and each.of_one and _fits(each, status, held)]


def _fits(verb: Verb, status: Status, held: bool) -> bool:
    if verb in (SEND, BULK):
        return False
    changes = {before for before, change in TRANSITIONS if before and change.value == verb.name}
    if status not in (changes or _WHERE.get(verb.name, frozenset())):
        return False
    if verb.name in _WHERE_HELD or (verb.name in _WHERE_QUIET and status in LIVE):
        return held
    return not (verb is PAUSE and held)
