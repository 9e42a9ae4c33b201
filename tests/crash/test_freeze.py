"""A frozen instance: its work goes on elsewhere, and when it thaws nothing that it writes lands."""

from __future__ import annotations

import signal
from typing import Any

from tests.crash.conftest import Query
from tests.hosts import Hosts, until

LEASE: dict[str, Any] = {"lease_ttl_s": 1.5, "tick_s": 0.2}
ROWS = """
select xmin::text, ctid::text, output::text from outlast.workflow_status
union all
select xmin::text, ctid::text, output::text from outlast.operation_outputs order by 1, 2
"""


def test_a_step_that_ends_after_the_takeover_is_not_recorded(hosts: Hosts, query: Query) -> None:
    frozen = hosts.start(**LEASE)
    workflow_id = frozen.begin("holding", "k", gate="gate")
    until(lambda: hosts.witnessed("hold k"), "the step")
    other = hosts.start(**LEASE)
    frozen.signal(signal.SIGSTOP)
    until(lambda: hosts.witnessed(f"hold k {other.pid}"), "the takeover")
    hosts.open_gate("gate")
    assert other.call("holding", "k", gate="gate").json() == other.pid
    rows = query(ROWS)

    frozen.signal(signal.SIGCONT)
    until(lambda: "(LeaseLost)" in frozen.said(), "the refusal")
    assert frozen.manage("GET", workflow_id).json()["output"] == other.pid
    assert frozen.call("holding", "k", gate="gate").json() == other.pid
    assert query(ROWS) == rows
    assert hosts.witnessed("last k") == 1
    assert frozen.call("single", "afterwards").json() == "a"


def test_a_transaction_left_open_by_the_freeze_leaves_nothing(hosts: Hosts, query: Query) -> None:
    frozen = hosts.start(**LEASE)
    frozen.begin("paying", "k", gate="gate")
    until(lambda: hosts.witnessed("paying k"), "the transaction")
    other = hosts.start(**LEASE)
    frozen.signal(signal.SIGSTOP)
    until(lambda: hosts.witnessed(f"paying k {other.pid}"), "the takeover")
    hosts.open_gate("gate")
    assert other.call("paying", "k", gate="gate").json() == other.pid
    (effect,) = query("select * from effects")

    frozen.signal(signal.SIGCONT)
    until(lambda: "(LeaseLost)" in frozen.said(), "the refusal")
    assert frozen.call("paying", "k", gate="gate").json() == other.pid
    # Its transaction is over, not just out of sight.
    open_ones = "select 1 from pg_stat_activity where xact_start is not null and pid <> pg_backend_pid()"
    open_ones += " and datname = current_database() and state like 'idle in transaction%%'"
    until(lambda: not query(open_ones), "the end of its transaction")
    assert query("select * from effects") == [effect]
    (count,) = query("select nextval('effects_id_seq') - 1 as tried")
    assert count["tried"] == 2


def test_a_frozen_instance_that_lost_nothing_goes_on(hosts: Hosts, query: Query) -> None:
    """Nobody was there to take over: the same instance finishes its work, once."""
    frozen = hosts.start(**LEASE)
    frozen.begin("holding", "k", gate="gate")
    until(lambda: hosts.witnessed("hold k"), "the step")
    frozen.signal(signal.SIGSTOP)
    lease_over = "select 1 from outlast.instances where lease_until < clock_timestamp()"
    until(lambda: query(lease_over), "the end of its lease")
    hosts.open_gate("gate")
    frozen.signal(signal.SIGCONT)
    assert frozen.call("holding", "k", gate="gate").json() == frozen.pid
    assert hosts.witnessed("hold k") == hosts.witnessed("last k") == 1
