"""What operators do to queues, in memory: `outlast.set_queue`, `pause_queue`, and so on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from outlast.core.ports import NoSuchRow, Unacceptable
from outlast.core.queues import check_option, check_together
from outlast.core.status import Status
from outlast.core.verbs import DRAIN_QUEUE, PAUSE_QUEUE, SET_QUEUE, Verb
from outlast.testing.rows import QueueRow
from outlast.testing.statements.queues import end_waiting
from outlast.testing.statements.statements import Statements

_DRAINED_MAX = 10_000
_DRAINED = {"code": "workflow_cancelled", "message": "the workflow was cancelled"}


class QueueVerbs(Statements):
    """See PostgresWorkflows.act."""

    def act(self, verb: Verb, name: str, given: Mapping[str, Any], by: str) -> Mapping[str, Any]:
        """Do it. Raises NoSuchRow, Unacceptable."""
        settings = {
            each.name: given[each.name] for each in verb.arguments if each.setting and each.name in given
        }
        _check(settings)
        queue = self._db.queues.get(name)
        if queue is None:
            raise NoSuchRow
        key = given.get("key")
        noted = {"at": self._db.date(), "by": by, "why": given.get("why")}
        if verb is SET_QUEUE:
            _set(queue, settings, noted, reset=given.get("reset", False))
        elif verb is DRAIN_QUEUE:
            return self._drain(name, key)
        elif verb is PAUSE_QUEUE:
            _pause(queue, key, noted)
        elif key is None:
            queue.paused = None
        else:
            queue.paused_keys.pop(key, None)
        return {}

    def _drain(self, name: str, key: str | None) -> Mapping[str, Any]:
        waiting = [
            row
            for _, row in self._db.waiting(name)
            if row.status is Status.ENQUEUED and key in (None, row.new.queue_key)
        ]
        # guard: drained-though-begun-in-memory = waiting
        waiting = [row for row in waiting if row.generation == 1 and row.forked_from is None]
        waiting = waiting[:_DRAINED_MAX]
        # guard: memory-refusing-rows-drained = waiting
        drained = [row for row in waiting if not self._db.refuses(row.new.workflow_id)]
        for row in drained:
            end_waiting(row, _DRAINED, self._db.now())
        self._db.tell_ends()
        return {"cancelled": len(drained), "more": len(waiting) == _DRAINED_MAX and bool(drained)}


def _check(settings: Mapping[str, Any]) -> None:
    for name, value in settings.items():
        try:
            if value is not None:
                check_option(name, value)
        except ValueError as error:
            raise Unacceptable(str(error), name) from None


def _set(queue: QueueRow, settings: Mapping[str, Any], noted: Mapping[str, Any], *, reset: bool) -> None:
    if not settings and not reset:
        raise Unacceptable("settings must name an option, unless all are reset", "settings")
    for name, value in settings.items():
        try:
            check_together(queue.base if value is None else {**queue.base, name: value})
        except ValueError as error:
            raise Unacceptable(str(error), name) from None
    changed = {**({} if reset else queue.override), **settings}
    queue.override = {name: value for name, value in changed.items() if value is not None}
    queue.overridden = dict(noted) if queue.override else None


def _pause(queue: QueueRow, key: str | None, noted: Mapping[str, Any]) -> None:
    if key is None:
        queue.paused = {**noted, "at": (queue.paused or noted)["at"]}
    elif "key" not in queue.base:
        raise Unacceptable("key can't be paused alone: this queue has none", "key")
    else:
        queue.paused_keys[key] = {**noted, "at": queue.paused_keys.get(key, noted)["at"]}
