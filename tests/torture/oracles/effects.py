"""Effects: a transaction's is there exactly if its record is; a recorded step never runs again."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tests.torture.oracles.history import application
from tests.torture.oracles.violations import Violations
from tests.torture.oracles.window import Row, Window
from tests.torture.server import Server
from tests.torture.witness import Run, Witness

# Both ways: effects whose record isn't in the same commit with the same token; records without one effect.
_STRAY = """
select t.workflow_id, t.label, t.token, t.xid::text as tx, o.step_id, o.output ->> 'token' as recorded
from torture.transfers t
left join torture.records r on r.workflow_id = t.workflow_id and r.xid = t.xid and r.change = 'INSERT'
left join outlast.operation_outputs o on o.workflow_id = r.workflow_id and o.step_id = r.step_id
where (%(all)s or (t.xid >= %(low)s::xid8 and t.xid < %(high)s::xid8))
  and (o.output ->> 'token') is distinct from t.token
limit 20
"""
_BARE = """
select r.workflow_id, r.step_id, r.name, r.xid::text as tx, count(t.n) as effects
from torture.records r
left join torture.transfers t on t.workflow_id = r.workflow_id and t.xid = r.xid
join outlast.operation_outputs o on o.workflow_id = r.workflow_id and o.step_id = r.step_id
where (%(all)s or (r.xid >= %(low)s::xid8 and r.xid < %(high)s::xid8))
  and r.name like 'transfer%%' and r.change = 'INSERT' and o.error is null
group by r.workflow_id, r.step_id, r.name, r.xid
having count(t.n) <> 1
limit 20
"""
_TWICE = """
with touched as (
  select distinct workflow_id from torture.transfers
  where %(all)s or (xid >= %(low)s::xid8 and xid < %(high)s::xid8)
)
select t.workflow_id, t.label, count(*) as effects
from torture.transfers t join touched using (workflow_id)
group by t.workflow_id, t.label having count(*) > 1 limit 20
"""
_MONEY = "select sum(balance)::bigint as total, count(*) as accounts from torture.accounts"
_BALANCES = """
select a.id, a.balance, 1000 + coalesce(sum(m.amount), 0) as implied
from torture.accounts a
left join (
  select source as id, -amount as amount from torture.transfers
  union all select target, amount from torture.transfers
) m using (id)
group by a.id, a.balance having a.balance <> 1000 + coalesce(sum(m.amount), 0)
"""
_LIVES = """
select c.owner, c.app, c.change, c.epoch, c.status,
  extract(epoch from pg_xact_commit_timestamp(c.xid::xid))::float8 as at_s
from torture.changes c where c.workflow_id = %(id)s
"""
_DATED = """
select r.workflow_id, o.output ->> 'label' as label, r.app,
  extract(epoch from pg_xact_commit_timestamp(r.xid::xid))::float8 as at_s
from torture.records r
join outlast.operation_outputs o on o.workflow_id = r.workflow_id and o.step_id = r.step_id
where r.workflow_id = any(%(ids)s) and r.change = 'INSERT' and json_typeof(o.output) = 'object'
"""
_AT_ONCE = 1_000
_CLOCK_SLACK_S = 0.003


class Effects:
    """Checks windows, and all of it at the end."""

    def __init__(self, server: Server, witness: Witness, violations: Violations) -> None:
        self.checks = 0
        self._server = server
        self._witness = witness
        self._violations = violations

    async def look(self, window: Window, again: Iterable[tuple[str, str]]) -> None:
        """Check a window, and steps that were `again` seen to run."""
        await self._look({"all": False, "low": window.low, "high": window.high})
        self.checks += sum(1 for record in window.records if record["name"].startswith("transfer"))
        await self._check_runs(set(again))

    async def look_at_all(self) -> None:
        """Check every effect, every record, every balance."""
        await self._look({"all": True, "low": "0", "high": "0"})
        for row in await self._server.rows(_BALANCES):
            self._violations.add(
                "a balance is not what its transfers imply", f"account {row['id']}", repr(row)
            )
        # Once more: some of their records may have come after the second run was seen.
        await self._check_runs({step for step, runs in self._witness.runs.items() if len(runs) > 1})

    async def _look(self, span: dict[str, Any]) -> None:
        for what, query in (
            ("an effect without its record", _STRAY),
            ("a recorded transaction without exactly one effect", _BARE),
            ("an effect twice", _TWICE),
        ):
            for row in await self._server.rows(query, span):
                self._violations.add(
                    what, f"{row['workflow_id']} {row.get('label', row.get('step_id'))}", repr(row)
                )
        (money,) = await self._server.rows(_MONEY)
        self.checks += 1
        if money["total"] != 1000 * money["accounts"]:
            self._violations.add("money was made or lost", "accounts", repr(money))

    async def _check_runs(self, steps: set[tuple[str, str]]) -> None:
        """A run that began after the step's record was committed is a violation, but by a superseded one.

        Such an instance may have been frozen between its last look at its lease and the step's first line.
        """
        self.checks += len(steps)
        ids = sorted({workflow_id for workflow_id, _ in steps})
        for start in range(0, len(ids), _AT_ONCE):
            for record in await self._server.rows(_DATED, {"ids": ids[start : start + _AT_ONCE]}):
                if (record["workflow_id"], record["label"]) in steps:
                    await self._check_late_runs(record)

    async def _check_late_runs(self, record: Row) -> None:
        workflow_id, label = record["workflow_id"], record["label"]
        runs = self._witness.runs[workflow_id, label]
        late = [run for run in runs if run.at_s > record["at_s"] + _CLOCK_SLACK_S]
        if not late:
            return
        lives = await self._server.rows(_LIVES, {"id": workflow_id})
        for run in late:
            if _knew(run, record, lives):
                seen = f"{label} ran {run}, recorded {record}, lives {lives}"
                self._violations.add("a recorded step ran again", f"{workflow_id} {label}", seen[:3000])


def _knew(run: Run, record: Row, lives: list[Row]) -> bool:
    """Whether who ran it must have known the record: its own, or one that stood there when it claimed."""
    claims = [
        life for life in lives
        if life["owner"] is not None and f"-{run.pid}-" in life["owner"] and life["at_s"] < run.at_s
    ]  # fmt: skip
    if not claims:
        return False
    last = max(claims, key=lambda life: life["at_s"])
    return bool(last["at_s"] > record["at_s"] or application(last["owner"]) == record["app"])
