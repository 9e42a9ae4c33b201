"""Ended workflows: what they returned is what their records imply, and what their callers were told."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from tests.torture.clients import Answer, Told
from tests.torture.oracles.history import LIVE
from tests.torture.oracles.violations import Violations
from tests.torture.oracles.window import Row, Window
from tests.torture.server import Server
from tests.torture.witness import Witness

_ROWS = """
select workflow_id, function, status, output::text as output, error::text as error
from outlast.workflow_status where workflow_id = any(%(ids)s)
"""
_RECORDS = """
select workflow_id, step_id, name, output::text as output, error::text as error, attempts, completion_order
from outlast.operation_outputs where workflow_id = any(%(ids)s)
"""


class Results:
    """Checks each workflow as it ends."""

    def __init__(self, server: Server, told: Told, witness: Witness, violations: Violations) -> None:
        self.ended: Counter[tuple[str, str]] = Counter()
        self.checks = 0
        self._server = server
        self._told = told
        self._witness = witness
        self._violations = violations
        self._expected: dict[str, Answer | None] = {}
        self._attempts: dict[tuple[str, str], int] = {}
        self._of_children: list[tuple[str, str, bytes]] = []

    async def look(self, window: Window) -> None:
        """Check those that ended in a window."""
        ids = sorted(
            {c["workflow_id"] for c in window.changes if c["status"] is not None and c["status"] not in LIVE}
        )
        for start in range(0, len(ids), 500):
            some = {"ids": ids[start : start + 500]}
            records: dict[str, list[Row]] = {workflow_id: [] for workflow_id in some["ids"]}
            for record in await self._server.rows(_RECORDS, some):
                records[record["workflow_id"]].append(record)
            for row in await self._server.rows(_ROWS, some):
                self._check(row, records[row["workflow_id"]])

    def compare_all(self) -> None:
        """Check what callers and parents were told against what is stored, of all that were answered."""
        for parent, child, told in self._of_children:
            self.checks += 1
            stored = self._expected.get(child)
            if stored is None or json.loads(stored.body) != json.loads(told):
                self._violations.add(
                    "a parent was told what isn't stored", parent, f"{child}: {told!r}, {stored}"
                )
        for workflow_id, answer in self._told.answers.items():
            self.checks += 1
            if workflow_id not in self._expected:
                self._violations.add("an answer without an ended workflow", workflow_id, repr(answer))
            elif (stored := self._expected[workflow_id]) is not None and stored != answer:
                self._violations.add(
                    "a caller was told what isn't stored", workflow_id, f"told {answer}, stored {stored}"
                )

    def reexecutions(self) -> Counter[str]:
        """Runs of steps beyond their recorded attempts, by kind of workflow. Counted, never hidden."""
        again: Counter[str] = Counter()
        for (workflow_id, label), runs in self._witness.runs.items():
            extra = len(runs) - self._attempts.get((workflow_id, label), 1)
            if extra > 0:
                again[_kind(workflow_id)] += extra
        return again

    def _check(self, row: Row, records: list[Row]) -> None:
        self.checks += 1
        workflow_id, status = row["workflow_id"], row["status"]
        self.ended[row["function"].partition("/")[2], status] += 1
        for record in records:
            self._check_record(workflow_id, record)
        if status == "SUCCESS":
            self._expected[workflow_id] = Answer(200, (row["output"] or "null").encode())
            self._compare(workflow_id, json.loads(row["output"] or "null"), records)
        elif status == "ERROR":
            self._expected[workflow_id] = None
            error = json.loads(row["error"])
            said = error.get("failure", {}).get("message", "")
            if row["function"].endswith("/undone") and said == "undone":
                return
            if not row["function"].endswith("/fail") or not said.startswith("{"):
                self._violations.add("a workflow failed that should not", workflow_id, row["error"][:1500])
            else:
                self._compare(workflow_id, json.loads(said), records)
        elif status == "CANCELLED":
            self._expected[workflow_id] = None
        else:
            self._violations.add("a workflow was given up", workflow_id, status)

    def _compare(self, workflow_id: str, result: dict[str, Any], records: list[Row]) -> None:
        for place, item in enumerate(result.get("mapped", ())):
            self._of_children.append((workflow_id, f"{workflow_id}/map.2/{place}", json.dumps(item).encode()))
        if "heard" in result and result["heard"] != list(range(result["children"][0]["told"])):
            self._violations.add("a reader missed an event", workflow_id, repr(result))
        implied = implied_by(records)
        seen = {"parts": {}, "children": [], **result}
        for what, value in implied.items():
            if what in seen and seen[what] != value:
                told = f"{what} returned {seen[what]}, recorded {value}"
                self._violations.add("a result is not what its records imply", workflow_id, told)

    def _check_record(self, workflow_id: str, record: Row) -> None:
        """A record of a step's result is of a run that the witness saw; one of a child is checked last."""
        if record["name"].startswith("result of ") and record["output"]:
            child = record["name"].removeprefix("result of ")
            self._of_children.append((workflow_id, child, record["output"].encode()))
        output = json.loads(record["output"]) if record["output"] else None
        if not isinstance(output, dict) or "token" not in output:
            return
        label = output["label"]
        runs = self._witness.runs.get((workflow_id, label))
        if record["name"].startswith("transfer"):
            return
        self._attempts[workflow_id, label] = record["attempts"]
        if runs is None or all(run.token != output["token"] for run in runs):
            self._violations.add("a record of a run that nobody saw", workflow_id, f"{label}: {output}")


def implied_by(records: list[Row]) -> dict[str, Any]:
    """What a workflow's result has to be by its records."""
    parts: dict[str, str | None] = {}
    children: list[tuple[str, Any]] = []
    moves: list[tuple[int, str]] = []
    for record in records:
        output = json.loads(record["output"]) if record["output"] else None
        if record["name"].startswith("result of "):
            children.append((record["name"], output))
        elif record["name"] == "shaky" and record["error"] is not None:
            parts[f"try{int(record['step_id']) - 1}"] = None
        elif isinstance(output, dict) and output.get("label") == "given_up":
            pass  # it may have been recorded in the very moment
        elif isinstance(output, dict) and "token" in output:
            parts[output["label"]] = output["token"]
            if record["name"] == "transfer":
                moves.append((record["completion_order"], output["label"]))
    return {
        "parts": parts,
        "children": [output for _, output in sorted(children, key=lambda child: _place(child[0]))],
        "order": [label for _, label in sorted(moves)],
    }


def _place(name: str) -> tuple[int, str]:
    """Those of `start_all` are numbered: the tenth comes after the second."""
    return len(name), name


def _kind(workflow_id: str) -> str:
    kind = workflow_id.partition("/")[2].partition(":")[0]
    return "leaf" if "/" in workflow_id.partition(":")[2] else kind
