"""SIGKILL at every named point: what was recorded doesn't run again, and nothing is lost or done twice."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterable
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest

import outlast
from tests.crash.conftest import Query
from tests.embedded.hosts import postmaster, wait_for_end
from tests.hosts import Host, Hosts, until

# Records of the story: of `first`, of the sleep's begin with the suspension, of `last`.
POINTS = [
    "start.before_commit",
    "start.after_commit",
    *(f"step.{where}:{n}" for where in ("before_run", "after_run") for n in (1, 2, 3)),
    *(f"record.{where}_commit:{n}" for where in ("before", "after") for n in (1, 2, 3)),
    "transaction.before_commit",
    "transaction.after_commit",
    "suspend.before_commit",
    "suspend.after_commit",
    "claim.after_commit",
    "finish.before_commit",
    "finish.after_commit",
]
# Between the arrival of a message and its record, and after that. The wait itself is recorded first.
WHILE_HEARING = [
    "deliver.after_commit:3",
    "claim.after_commit",
    "suspend.before_commit",
    "suspend.after_commit",
    "record.before_commit:2",
    "record.after_commit:2",
    "finish.before_commit",
]
WHILE_MAPPING = [
    "map.opened",
    *(f"map.{where}_block:{n}" for where in ("before", "after") for n in (1, 2)),
]
WHILE_WAITING = [
    "suspend.before_commit",
    "suspend.after_commit",
    "suspend.after_commit:2",
    "claim.after_commit",
    "claim.after_commit:2",
    "finish.before_commit",
    "finish.after_commit",
    "finish.before_commit:2",
]
"""Of a parent and its child: the child's end, and what its parent does then."""

AT_A_TICK = "tick.after_commit:2"
AT_A_BULK = "bulk.after_commit"
ELSEWHERE = "consume.after_commit"
"""In tests/queues, where there are some."""

STORY = {"key": "k", "parts": ["a", 7, "c"]}
BODIES = {"first": "first k", "pay": "pay k", "last": "last k"}
RECORDED = "select name from outlast.operation_outputs where completion_order is not null"
ENDED = "select 1 from outlast.workflow_status where status = 'SUCCESS'"


def some(points: Iterable[str]) -> list[Any]:
    """Every third is tried each time, the others by `make slow`."""
    slow = pytest.mark.slow
    return [pytest.param(each, marks=() if n % 3 == 0 else slow) for n, each in enumerate(points)]


def test_every_point_is_tried() -> None:
    text = "".join(each.read_text() for each in Path(outlast.__file__).parent.rglob("*.py"))
    reached = {name.removeprefix("{point}") for name in re.findall(r'faults\.reach\(f?"([^"]+)"', text)}
    tried = {
        each.partition(":")[0]
        for each in [*POINTS, *WHILE_HEARING, *WHILE_MAPPING, AT_A_TICK, AT_A_BULK, ELSEWHERE]
    }
    assert reached
    assert all(any(each.endswith(point) for each in tried) for point in reached)


def call_until_it_dies(host: Host, function: str = "story") -> None:
    with pytest.raises(httpx.TransportError):
        host.call(function, "k")
    assert host.ended() == -signal.SIGKILL


@pytest.mark.parametrize("point", some(POINTS))
def test_a_killed_workflow_goes_on_where_it_was(hosts: Hosts, query: Query, point: str) -> None:
    call_until_it_dies(hosts.start(crash_at=point))
    recorded = {row["name"] for row in query(RECORDED)}
    before = {name: hosts.witnessed(body) for name, body in BODIES.items()}
    assert len(query("select * from effects")) == ("pay" in recorded)

    second = hosts.start()
    if point != "start.before_commit":  # all others are finished without anybody's asking
        until(lambda: query(ENDED), "the end")
    answer = second.call("story", "k")
    assert (answer.status_code, answer.json()) == (200, STORY)
    assert answer.headers["idempotency-replayed"] == str(point != "start.before_commit").lower()

    for name, body in BODIES.items():
        assert hosts.witnessed(body) == before[name] + (name not in recorded), name
    assert len(query("select * from effects")) == 1


@pytest.mark.parametrize("point", some(WHILE_HEARING))
def test_no_message_is_lost_with_its_receiver(hosts: Hosts, query: Query, point: str) -> None:
    first = hosts.start(crash_at=point)
    try:
        workflow_id = first.begin("hearing", "k", count=2)
    except httpx.TransportError:
        workflow_id = query("select workflow_id from outlast.workflow_status")[0]["workflow_id"]
    suspended = "select 1 from outlast.workflow_status where awaits is not null"
    until(lambda: first.process.poll() is not None or query(suspended), "the suspension")
    sent = [
        query("select outlast.send(%s, to_json(%s::int), 'news') as id", workflow_id, number)[0]["id"]
        for number in (1, 2)
    ]
    assert first.ended() == -signal.SIGKILL
    hosts.start()
    until(lambda: query(ENDED), "the end")
    (row,) = query("select output from outlast.workflow_status")
    assert row["output"] == [1, 2]
    named = "select output->'message_id' as id from outlast.operation_outputs where kind = 'receive'"
    assert [row["id"] for row in query(named)] == sent


@pytest.mark.parametrize("point", some(WHILE_MAPPING))
def test_a_map_that_is_cut_at_a_block_has_each_item_once(hosts: Hosts, query: Query, point: str) -> None:
    """Of two blocks; the rows that it goes over have changed by the time that another instance goes on."""
    query("create table numbers as select n from generate_series(1, 1003) as n")
    call_until_it_dies(hosts.start(crash_at=point), "mapped")
    query("delete from numbers where mod(n, 2) = 0")
    query("insert into numbers values (0)")
    second = hosts.start()
    until(lambda: query(f"{ENDED} and function = 'proof/mapped'"), "the end")
    assert second.call("mapped", "k").json() == [1003, sum(range(1, 1004))]
    items = (
        "select count(*)::int as n, count(distinct output::text)::int as values from outlast.workflow_status"
        " where function = 'proof/piece' and map is null"
    )
    assert query(items) == [{"n": 1003, "values": 1003}]
    assert query("select 1 from outlast.queues where position('/map.' in name) > 0") == []


@pytest.mark.parametrize("point", some(WHILE_WAITING))
def test_no_wake_up_is_lost_with_who_gave_it_or_was_to_have_it(
    hosts: Hosts, query: Query, point: str
) -> None:
    dying = hosts.start(crash_at=point)
    dying.begin("patient", "k")
    asleep = "select 1 from outlast.workflow_status where awaits is not null"
    until(lambda: dying.process.poll() is not None or len(query(asleep)) == 2, "both asleep")
    child = query("select workflow_id from outlast.workflow_status where parent is not null")[0][
        "workflow_id"
    ]
    query("select outlast.send(%s, '\"gone\"', 'go')", child)
    assert dying.ended() == -signal.SIGKILL
    hosts.start()
    until(lambda: len(query(ENDED)) == 2, "both ends")
    assert {
        row["output"] for row in query("select output #>> '{}' as output from outlast.workflow_status")
    } == {"gone"}
    # The record of a last step goes with the end.
    assert hosts.witnessed("first k") == 1 + (point == "finish.before_commit")
    assert hosts.witnessed("last k") == 1 + (point == "finish.before_commit:2")
    assert query("select count(*) as n from outlast.waits") == [{"n": 0}]


def test_no_tick_is_lost_or_doubled_with_who_started_it(hosts: Hosts, query: Query) -> None:
    first = hosts.start(crash_at=AT_A_TICK)
    query(
        "select outlast.schedule('beats', 'proof/single', every => '1 second', input => '{\"key\": \"k\"}',"
        " catchup => 'all', overlap => 'allow')"
    )
    assert first.ended() == -signal.SIGKILL
    ticks = "select workflow_id, status from outlast.workflow_status where workflow_id like 'schedule:%%'"
    assert query(ticks)
    hosts.start()
    until(lambda: sum(row["status"] == "SUCCESS" for row in query(ticks)) >= 4, "some ticks")
    times = sorted(
        datetime.fromisoformat(row["workflow_id"].removeprefix("schedule:beats:")) for row in query(ticks)
    )
    assert {(later - sooner).total_seconds() for sooner, later in pairwise(times)} == {1.0}


@pytest.mark.slow
def test_a_bulk_whose_hosts_are_killed_at_each_block_is_done_once_to_all(hosts: Hosts, query: Query) -> None:
    query(
        "insert into outlast.workflow_status (workflow_id, function, status, created_at)"
        " select 'nobody:' || n, 'nobody', 'PENDING', now() - interval '1 hour' from generate_series(1, 25) n"
    )
    given = """'set', '{"function": "nobody"}', arguments => '{"attributes": {"seen": 1}}', expect => 25"""
    (bulk,) = query(f"select workflow_id from outlast.bulk({given})")
    stands = f"select fixed, done, over from outlast.bulks where bulk_id = '{bulk['workflow_id']}'"
    seen = []
    while not query(stands)[0]["over"]:
        # It may die before it is ready for calls.
        assert hosts.launch(crash_at=f"{AT_A_BULK}:1").ended() == -signal.SIGKILL
        seen.append(query(stands)[0]["done"])
    assert seen == [0, 10, 20, 25]
    acts = query("select name, count(*)::int as n from outlast.acts where verb = 'set' group by name")
    assert {row["n"] for row in acts} == {1}
    assert len(acts) == 25
    (ended,) = query(
        f"select status, output from outlast.workflow_status where workflow_id = '{bulk['workflow_id']}'"
    )
    assert (ended["status"], ended["output"]["done"]) == ("SUCCESS", 25)


@pytest.mark.slow
def test_the_embedded_database_outlasts_its_host(embedded_hosts: Hosts) -> None:
    hosts = embedded_hosts
    first = hosts.start()
    assert first.call("single", "kept").json() == "a"
    workflow_id = first.begin("holding", "k", gate="gate")
    until(lambda: hosts.witnessed("hold k"), "the step")
    first.kill()

    second = hosts.start()
    assert second.call("single", "kept").headers["idempotency-replayed"] == "true"
    until(lambda: hosts.witnessed("hold k") == 2, "the step again")
    hosts.open_gate("gate")
    ended = second.manage("GET", f"{workflow_id}?wait=20").json()
    assert (ended["status"], ended["output"]) == ("SUCCESS", second.pid)
    assert hosts.witnessed("last k") == 1
    assert hosts.witnessed("first kept") == 1
    second.signal(signal.SIGTERM)
    assert second.ended() == 0
    wait_for_end(hosts.folder / ".outlast")


@pytest.mark.slow
def test_two_hosts_share_an_embedded_database_and_one_outlives_the_other(embedded_hosts: Hosts) -> None:
    hosts = embedded_hosts
    first, second = hosts.launch(), hosts.launch()
    first.until_ready()
    second.until_ready()
    server = postmaster(hosts.folder / ".outlast")
    workflow_id = first.begin("holding", "k", gate="gate")
    until(lambda: hosts.witnessed("hold k"), "the step")
    assert second.manage("GET", workflow_id).json()["status"] == "PENDING"
    first.kill()
    until(lambda: hosts.witnessed("hold k") == 2, "the step again")
    hosts.open_gate("gate")
    assert second.call("holding", "k", gate="gate").json() == second.pid
    assert postmaster(hosts.folder / ".outlast") == server


UNDOING = [f"step.{where}:{n}" for where in ("before_run", "after_run") for n in (3, 4)]
UNDOING += [f"record.{where}_commit:{n}" for where in ("before", "after") for n in range(1, 6)]


@pytest.mark.parametrize("point", some([*UNDOING, "finish.before_commit", "finish.after_commit"]))
def test_a_saga_that_is_killed_undoes_each_thing_and_records_that_once(
    hosts: Hosts, query: Query, point: str
) -> None:
    call_until_it_dies(hosts.start(crash_at=point), "trip")
    hosts.start()
    until(lambda: query("select 1 from outlast.workflow_status where status = 'ERROR'"), "the end")
    ((code,),) = [
        each.values() for each in query("select error ->> 'code' as code from outlast.workflow_status")
    ]
    assert code == "workflow_error"
    seen = hosts.testimony()
    for what in ("hotel", "car"):
        assert ("book " + what in seen) == ("undo " + what in seen)
        assert seen.count("undo " + what) <= 2
    order = [each for each in seen if each.startswith("undo")]
    assert order == sorted(order, key=["undo car", "undo hotel"].index)
    undone = query("select count(*)::int as n from outlast.operation_outputs where name = 'take_back'")
    assert [each["n"] for each in undone] == [2]
