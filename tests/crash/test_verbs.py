"""Verbs at random moments while hosts are killed: nothing is lost, nothing runs again, a pause stays one."""

from __future__ import annotations

import json
import random
import time
from collections import Counter
from typing import Any

import psycopg
import pytest
from psycopg import Connection, errors

from tests.crash.conftest import Query
from tests.hosts import Host, Hosts, until

pytestmark = [pytest.mark.slow, pytest.mark.postgres]

COUNT = 30
LASTS_S = 12.0
KILLS_APART_S = 1.5
REFUSED = (errors.ObjectNotInPrerequisiteState, errors.NoDataFound, errors.InvalidParameterValue)
START = """
select outlast.start(
  'proof/operated', json_build_object('key', n::text, 'pause_s', 0.05 * (n %% 10)), n::text)
from generate_series(1, %s::int) n
"""
ALIVE = "select workflow_id, status, held from outlast.workflow_status order by workflow_id"
RECORDED = """
select workflow_id, name from outlast.operation_outputs
where completion_order is not null and error is null and settled is null and name in ('first', 'third')
"""
PAYMENTS = """
select w.workflow_id, o.settled is not null as settled, o.nonce, (
    select count(*)::int from effects e where e.key = w.workflow_id) as effects
from outlast.workflow_status w
left join outlast.operation_outputs o
  on o.workflow_id = w.workflow_id and o.name = 'pay_as_itself' and o.error is null
"""
COPY = """
select o.step_id, o.name, o.output::text, o.error::text, o.attempts, o.completion_order, o.nonce,
  o.started_at, o.completed_at, o.kind, o.at, o.arguments::text, o.called_after, o.settled::text
from outlast.operation_outputs o where o.workflow_id = %s and not o.step_id = any(%s) order by o.step_id
"""
VERBS = [
    "pause",
    "pause",
    "resume",
    "resume",
    "resume",
    "cancel",
    "retry",
    "retry",
    "fork",
    "settle",
    "delete",
]


class Operator:
    """Somebody who does what comes to their mind to whatever there is."""

    def __init__(self, connection: Connection[Any], seed: int) -> None:
        self.connection = connection
        self.chance = random.Random(seed)
        self.done: Counter[str] = Counter()

    def act(self, workflow_ids: list[str]) -> None:
        workflow_id, verb = self.chance.choice(workflow_ids), self.chance.choice(VERBS)
        if verb == "delete" and "~" in workflow_id:
            return  # another fork may get its id, and what runs there would be taken for a second time
        try:
            if verb == "fork":
                self._fork(workflow_id)
            elif verb == "settle":
                # What comes before it is over: the code has come to it, or will.
                call = """
                select from outlast.operation_outputs o
                cross join lateral outlast.settle_workflow(o.workflow_id, '2', '8', name => 'pay_as_itself')
                where o.workflow_id = %s and o.step_id = '1' and o.completion_order is not null
                """
                if not self.connection.execute(call, (workflow_id,)).rowcount:
                    return
            else:
                self.connection.execute(f"select from outlast.{verb}_workflow(%s)".encode(), (workflow_id,))
            self.done[verb] += 1
        except REFUSED:
            self.done[f"{verb} refused"] += 1

    def _fork(self, workflow_id: str) -> None:
        place = self.chance.choice(["start", "first", "pay_as_itself", "third", "failed"])
        with self.connection.transaction():
            # Until it commits nobody writes to the one that it is made of.
            call = """select fork, kept, again from outlast.fork_workflow(%s, "from" => %s)"""
            ((fork, kept, again),) = self.connection.execute(call, (workflow_id, place)).fetchall()
            left = [each["step_id"] for each in again]
            copied, own = (
                self.connection.execute(COPY, (each, gone)).fetchall()
                for each, gone in ((fork, []), (workflow_id, left))
            )
            assert copied == own
            assert len(copied) == kept


def witnessed(hosts: Hosts) -> Counter[tuple[str, str]]:
    """How often each step of each workflow has run."""
    lines = (each.split() for each in hosts.testimony())
    return Counter((workflow_id, step) for step, _, workflow_id in lines)


@pytest.mark.parametrize("seed", [1, 2])
def test_verbs_race_with_killed_hosts(hosts: Hosts, query: Query, database: str, seed: int) -> None:
    settings: dict[str, Any] = {"moment_s": 0.05, "lease_ttl_s": 3}
    running: list[Host] = [hosts.start(**settings), hosts.launch(**settings)]
    query(START, COUNT)
    ran_when_recorded: dict[tuple[str, str], int] = {}
    deleted: set[str] = set()
    with psycopg.connect(database, autocommit=True) as connection:
        operator = Operator(connection, seed)
        ends_at = time.monotonic() + LASTS_S
        kill_at = time.monotonic() + KILLS_APART_S
        seen = {each["workflow_id"] for each in query(ALIVE)}
        while time.monotonic() < ends_at:
            for _ in range(10):
                operator.act(sorted(seen - deleted))
            there = {each["workflow_id"] for each in query(ALIVE)}
            deleted |= seen - there
            seen |= there
            # What is recorded has run by then, and never runs again.
            recorded = [(each["workflow_id"], each["name"]) for each in query(RECORDED)]
            ran = witnessed(hosts)
            for each in recorded:
                ran_when_recorded.setdefault(each, ran[each])
            if time.monotonic() > kill_at:
                running.pop(operator.chance.randrange(len(running))).kill()
                running.append(hosts.launch(**settings))
                kill_at = time.monotonic() + KILLS_APART_S
    assert {"pause", "resume", "cancel", "retry", "fork", "settle"} <= set(operator.done), operator.done
    _stays_paused(hosts, query, running, settings)
    _nothing_is_lost(query)
    final = witnessed(hosts)
    again = {each: (count, final[each]) for each, count in ran_when_recorded.items() if final[each] != count}
    assert again == {}, f"ran again: {again}; {json.dumps(operator.done)}"
    _each_is_paid_once(query)


def _stays_paused(hosts: Hosts, query: Query, running: list[Host], settings: dict[str, Any]) -> None:
    """Some are paused, and all hosts restart: all others go on, and these do nothing."""
    for host in running:
        host.kill()
    failed = "select from outlast.retry_workflow(%s)"
    for each in query(ALIVE):
        if each["status"] in ("ERROR", "CANCELLED", "EXHAUSTED"):
            query(failed, each["workflow_id"])
    query("select from outlast.start('proof/operated', '{\"key\": \"late\", \"pause_s\": 3600}', 'late')")
    live = [each["workflow_id"] for each in query(ALIVE) if each["status"] in ("PENDING", "ENQUEUED")]
    paused = live[::2]
    for each in paused:
        query("select from outlast.pause_workflow(%s)", each)
    for each in live[1::2]:
        query("select from outlast.resume_workflow(%s)", each)
    records = """
    select workflow_id, step_id, nonce from outlast.operation_outputs
    where workflow_id = any(%s) order by 1, 2
    """
    before = query(records, paused)
    hosts.start(**settings)
    others = "select 1 from outlast.workflow_status where status <> 'SUCCESS' and not workflow_id = any(%s)"
    until(lambda: not query(others, [*paused, "proof/operated:late"]), "the ends of all others", 60)
    assert query(records, paused) == before
    held = (
        "select distinct status in ('PENDING', 'ENQUEUED') as live, held ->> 'reason' as reason, owner"
        " from outlast.workflow_status where workflow_id = any(%s)"
    )
    assert query(held, paused) == [{"live": True, "reason": "paused", "owner": None}]
    for each in paused:
        query("select from outlast.resume_workflow(%s)", each)


def _nothing_is_lost(query: Query) -> None:
    """Each ends, and with what its records say; the late one, which sleeps for an hour, pays."""
    open_ones = """
    select 1 from outlast.workflow_status where status <> 'SUCCESS' and workflow_id <> 'proof/operated:late'
    """
    until(lambda: not query(open_ones), "the ends", 60)
    paid = """
    select 1 from outlast.operation_outputs
    where workflow_id = 'proof/operated:late' and name = 'pay_as_itself'
    """
    until(lambda: query(paid), "the late one's payment", 60)
    outputs = query(
        "select distinct output::jsonb as output from outlast.workflow_status where status = 'SUCCESS'"
    )
    assert {tuple(each["output"]) for each in outputs} <= {("a", 7, "c"), ("a", 8, "c")}


def _each_is_paid_once(query: Query) -> None:
    """By its own transaction, unless somebody settled that, or the record came with the fork."""
    payments = query(PAYMENTS)
    written, there = Counter(each["nonce"] for each in payments), {each["workflow_id"] for each in payments}
    for each in payments:
        own = not each["settled"] and written[each["nonce"]] == 1
        assert each["effects"] <= (not each["settled"]), each
        # The one that it was copied from may be deleted.
        assert each["effects"] or not own or each["workflow_id"].partition("~")[0] not in there, each
    lines = Counter(each["nonce"] for each in payments if each["effects"] and not each["settled"])
    assert set(lines.values()) <= {1}
