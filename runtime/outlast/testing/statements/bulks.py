"""Bulks in memory: verbs that are done to many workflows."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from outlast.core.ports import BadData, NoSuchRow, NotNow, Unacceptable
from outlast.core.records import BulkRan, NewWorkflow
from outlast.core.resources import FOUND_BY, WORKFLOWS, Kind
from outlast.core.status import LIVE, Status
from outlast.core.values import parse_timestamp
from outlast.core.verbs import CANCEL, SEND, UNDO, VERBS
from outlast.testing.listings import listed
from outlast.testing.rows import BulkItemRow, BulkRow, RowRefused, Workflow
from outlast.testing.statements.statements import Statements
from outlast.testing.statements.workflow_verbs import WorkflowVerbs
from outlast.testing.statements.workflows import WorkflowStatements

FUNCTION = "outlast.bulk"
BLOCK = 3
"""How many are listed, or done, at once: few, so that several blocks are common."""

AT_ONCE = ("retry", "cancel")
"""The verbs that are done to several workflows in one statement."""

SAMPLES = 10
COUNT_MAX = 1_000_000
_VERBS = {each.name: each for each in VERBS if each.noun is WORKFLOWS and each.of_one and each is not SEND}


class BulkStatements(Statements):
    """`outlast.bulk`, and `outlast.run_bulk`."""

    def begin(self, given: Mapping[str, Any], by: str) -> Mapping[str, Any]:
        """`outlast.bulk`. Raises Unacceptable, NotNow."""
        if given["verb"] not in _VERBS:
            of = ", ".join(sorted(_VERBS))
            raise Unacceptable(f"verb must be one of {of}, not '{given['verb']:.100}'", "verb")
        asked = _filter(given["filter"])
        found = self._find(asked, None, COUNT_MAX)
        expect = given.get("expect")
        if expect is not None and expect != len(found):
            raise NotNow(f"{len(found)} workflows are found, and {expect} were expected")
        if given.get("dry_run"):
            samples = [{"workflow_id": each[1]} for each in found[:SAMPLES]]
            return {"workflow_id": None, "count": len(found), "samples": samples}
        bulk_id, now = f"outlast:bulk:{len(self._db.bulks):08}", self._db.now()
        new = NewWorkflow(bulk_id, FUNCTION, json.dumps({"verb": given["verb"]}))
        self._db.workflows[bulk_id] = Workflow(new, None, self._db.chance.getrandbits(53), now, now, epoch=0)
        self._db.bulks[bulk_id] = BulkRow(
            given["verb"], asked, dict(given.get("arguments") or {}), given.get("rate", 50), expect, by,
            given.get("why"), next_at=now,
        )  # fmt: skip
        self._db.note_act("workflow", bulk_id, f"bulk {given['verb']}", by, given.get("why"))
        return {"workflow_id": bulk_id, "count": len(found), "samples": None}

    def run(self) -> BulkRan:
        """`outlast.run_bulk`."""
        due = [
            each for each in self._db.bulks.items() if not each[1].over and each[1].next_at <= self._db.now()
        ]
        ran = None
        if due:
            ran, bulk = min(due, key=lambda each: each[1].next_at)
            self._block(ran, bulk, self._db.workflows[ran])
        waits = [each.next_at - self._db.now() for each in self._db.bulks.values() if not each.over]
        return BulkRan(ran, max(0.0, min(waits)) if waits else None)

    def _block(self, bulk_id: str, bulk: BulkRow, row: Workflow) -> None:
        # guard: memory-cancelled-bulks-go-on = False
        if row.status is not Status.PENDING:
            bulk.over = True
        # guard: memory-paused-bulks-go-on = False
        elif row.held is not None:
            bulk.next_at = self._db.now() + 1.0
        elif not bulk.fixed:
            self._fix(bulk, row)
        else:
            self._do(bulk)
        if not bulk.over and bulk.fixed and bulk.place == len(bulk.items):
            self._end(bulk, row, None)

    def _fix(self, bulk: BulkRow, row: Workflow) -> None:
        """`outlast.fix_bulk`."""
        found = [
            each
            for each in self._find(bulk.filter, bulk.after, BLOCK)
            if each[0].timestamp() < row.created_at
        ]
        # guard: memory-bulks-fixed-again
        bulk.after = found[-1] if found else bulk.after
        bulk.items += [BulkItemRow(workflow_id) for _, workflow_id in found]
        bulk.fixed = len(found) < BLOCK
        if bulk.fixed and bulk.expect not in (None, len(bulk.items)):
            self._end(bulk, row, f"{len(bulk.items)} workflows were found, and {bulk.expect} were expected")

    def _do(self, bulk: BulkRow) -> None:
        """`outlast.do_bulk`."""
        now, did = self._db.now(), 0
        block = [each for each in bulk.items[bulk.place :] if each.outcome is None][:BLOCK]
        for item in block:
            # An act on several at once skips locked rows; an act on one waits for its row.
            if not self._db.is_locked(item.workflow_id):
                self._try(item, bulk)
                did += 1
            elif bulk.verb not in AT_ONCE:
                break
        outcomes = [each.outcome for each in bulk.items]
        bulk.place = outcomes.index(None) if None in outcomes else len(outcomes)
        self._db.tell_ends()
        bulk.next_at = max(bulk.next_at, now - 1.0) + max(1, did) / bulk.rate

    def _try(self, item: BulkItemRow, bulk: BulkRow) -> None:
        try:
            self._do_to(item.workflow_id, bulk)
            item.outcome = "done"
        except NoSuchRow:
            item.outcome, item.reason = "refused", "there is no workflow with this id"
        except (NotNow, Unacceptable) as error:
            item.outcome, item.reason = "refused", str(error)
        # guard: memory-refusing-items-stop-bulks
        except (BadData, RowRefused) as error:
            item.outcome, item.reason = "failed", str(error)

    def _do_to(self, workflow_id: str, bulk: BulkRow) -> None:
        """`outlast.try_verb`. Raises NoSuchRow, NotNow, Unacceptable."""
        if bulk.verb != CANCEL.name:
            WorkflowVerbs(self._db).act(
                _VERBS[bulk.verb], workflow_id, {**bulk.arguments, "why": bulk.why}, bulk.by
            )
            return
        row = self._db.workflows.get(workflow_id)
        if row is None:
            raise NoSuchRow
        if row.status is Status.CANCELLED:
            return
        if row.status not in LIVE:
            raise NotNow(CANCEL.refusal(row.status))
        WorkflowStatements(self._db).cancel(workflow_id, bulk.by, bulk.why, bulk.arguments.get("mode", UNDO))

    def _end(self, bulk: BulkRow, row: Workflow, error: str | None) -> None:
        # guard: memory-refusing-bulks-end
        if self._db.refuses(row.new.workflow_id):
            bulk.next_at = self._db.now() + 10.0
            return
        bulk.over = True
        outcomes = [each.outcome for each in bulk.items]
        counts = {"verb": bulk.verb, "total": len(outcomes), "done": outcomes.count("done")}
        row.status = Status.SUCCESS if error is None else Status.ERROR
        row.output = (
            json.dumps({**counts, **{each: outcomes.count(each) for each in ("refused", "failed")}})
            if error is None
            else None
        )
        row.error = None if error is None else json.dumps({"code": "bulk_unexpected", "message": error})
        row.epoch += 1
        row.updated_at = self._db.now()
        self._db.tell_ends()

    def found(
        self, given: Mapping[str, Any], after: tuple[datetime, str] | None, most: int
    ) -> list[tuple[datetime, str]]:
        """The next workflows of a filter. Raises Unacceptable."""
        return self._find(_filter(given), after, most)

    def _find(
        self, asked: Mapping[str, Any], after: tuple[datetime, str] | None, most: int
    ) -> list[tuple[datetime, str]]:
        """`outlast.find_for_bulk`."""
        rows, _ = listed(self._db, WORKFLOWS, {**asked, "ascending": True}, after, None)
        found = [(each["created_at"], each["workflow_id"]) for each in rows if each["function"] != FUNCTION]
        return found[:most]


def _filter(given: Mapping[str, Any]) -> dict[str, Any]:
    """A filter's values as a listing takes them. Raises Unacceptable."""
    kinds = {each.name: each.kind for each in FOUND_BY}
    choices = {each.name: each.choices for each in FOUND_BY if each.choices}
    if not given or not given.keys() <= kinds.keys():
        raise Unacceptable(
            f"filter must be an object that names one at least of {', '.join(kinds)}", "filter"
        )
    for name, value in given.items():
        if value is None:
            raise Unacceptable(f"filter {name} is null, which lets all pass: leave it out", "filter")
        if value not in choices.get(name, (value,)):
            raise Unacceptable(f"filter {name} must be one of {', '.join(choices[name])}", "filter")
    return {name: _value(kinds[name], value) for name, value in given.items()}


def _value(kind: Kind, value: Any) -> Any:
    if kind is Kind.TIMESTAMP:
        return parse_timestamp(value)
    if kind is Kind.PAIR:
        pairs = [value] if isinstance(value, str) else value
        return [tuple(each.split(":", 1)) for each in pairs]
    if kind is Kind.STATUS:
        return [value] if isinstance(value, str) else value
    return value
