"""Published events go out through `realtime.send` in the commit that records them, or not at all.

`realtime.send` is a stand-in here (tests/realtime.py): Realtime itself is not to be had.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator, Iterator
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from outlast.core.observations import Observation, RealtimeAccepted, RealtimeRefused
from outlast.core.ports import BadData, Unreachable
from outlast.core.records import Batch, Ending, FencedWrite, NewWorkflow, StepRecord
from outlast.core.status import Status
from outlast.store import journal, realtime
from outlast.store.connections import Database
from outlast.store.instances import RecoveryLimits
from outlast.store.postgres import PostgresStore
from outlast.store.realtime import Broadcasts, remedy_for
from tests.pooler import Pooler, program
from tests.realtime import heard, stand_in
from tests.store.harness import WAIT_S, rows, start, step, waits_for_a_lock
from tests.store.relay import relayed

RECORDED = "select workflow_id, step_id from outlast.operation_outputs order by 1, 2"


def event(number: int, value: str = "1", name: str = "progress") -> StepRecord:
    return StepRecord(str(number), f"publish {name}", value, None, 0, number, "publish")


class Side:
    """One instance's store that broadcasts, and what it observed."""

    def __init__(self, url: str, sessions: bool | None = None) -> None:
        self.observed: list[Observation] = []
        self.broadcasts = Broadcasts(self.observed.append)
        database = Database.at(url, "tests", sessions)
        self.store = PostgresStore(database, "me", "test", 4, RecoveryLimits(), self.broadcasts)
        self._nonce = 100

    async def publish(self, workflow_id: str, *steps: StepRecord, epoch: int = 1, **more: Any) -> bool:
        """Record steps in a commit of their own; whether they were accepted."""
        self._nonce += 1
        batch = Batch(self._nonce, [], [FencedWrite(workflow_id, epoch, list(steps), **more)])
        return workflow_id in (await self.store.journal.commit(batch)).accepted

    @property
    def refusals(self) -> list[RealtimeRefused]:
        return [each for each in self.observed if isinstance(each, RealtimeRefused)]


@contextlib.asynccontextmanager
async def side_of(url: str, sessions: bool | None = None) -> AsyncIterator[Side]:
    side = Side(url, sessions)
    try:
        yield side
    finally:
        await side.store.close()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A refusal is followed by no pause."""
    monkeypatch.setattr(realtime, "PAUSE_MIN_S", 0.0)


@pytest.fixture(params=["sessions", "no sessions", "PgBouncer"])
def way(request: pytest.FixtureRequest, database: str) -> Iterator[tuple[str, bool | None]]:
    """A way to a database that has the stand-in of Realtime."""
    stand_in(database)
    if request.param != "PgBouncer":
        yield database, request.param == "sessions"
        return
    binary = program()
    if binary is None:
        pytest.skip("SKIPPED LOUDLY: there is no pgbouncer here")
    pooler = Pooler(binary, database, 3)
    pooler.start()
    yield pooler.url, None
    pooler.close()


# --- in the same commit ------------------------------------------------------------------------------------


async def test_a_recorded_event_goes_out_once_in_order(way: tuple[str, bool | None], database: str) -> None:
    async with side_of(*way) as side:
        await start(side.store, "f:k/1", "g:ü")
        steps = [event(1, '{"done": 1}'), step(2), event(3, "null", "é\n'"), event(4, '{"id": 7}')]
        assert await side.publish("f:k/1", *steps)
        assert await side.publish("g:ü", event(1), end=Ending(Status.SUCCESS, "1"))
        assert side.observed == []
    sent = heard(database)
    assert [(each["topic"], each["event"], each["private"], each["extension"]) for each in sent] == [
        ("workflow:f:k/1", "progress", True, "broadcast"),
        ("workflow:f:k/1", "é\n'", True, "broadcast"),
        ("workflow:f:k/1", "progress", True, "broadcast"),
        ("workflow:g:ü", "progress", True, "broadcast"),
    ]
    payloads = [each["payload"] for each in sent]
    assert [(each["workflow_id"], each["number"], each["value"]) for each in payloads] == [
        ("f:k/1", 1, {"done": 1}),
        ("f:k/1", 3, None),
        ("f:k/1", 4, {"id": 7}),
        ("g:ü", 1, 1),
    ]
    at = "select to_char(completed_at at time zone 'utc', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')"
    recorded = await rows(database, f"{at} from outlast.operation_outputs where step_id = '3'")
    assert payloads[1]["published_at"] == recorded[0][0]


async def test_what_is_not_committed_is_not_sent(way: tuple[str, bool | None], database: str) -> None:
    """Refused at the commit itself, when both statements are done."""
    await rows(
        database,
        """
        create function refuse() returns trigger language plpgsql as $$
        begin raise exception 'not at the commit either'; end $$;
        create constraint trigger refuse after insert on outlast.operation_outputs
        deferrable initially deferred for each row execute function refuse()
        """,
    )
    async with side_of(*way) as side:
        await start(side.store, "w")
        with pytest.raises(BadData, match="not at the commit either"):
            await side.publish("w", event(1))
        assert side.observed == []
        await rows(database, "drop trigger refuse on outlast.operation_outputs")
        assert await side.publish("w", event(1))
    assert len(heard(database)) == 1


async def test_bad_data_beside_an_event_sends_nothing(way: tuple[str, bool | None], database: str) -> None:
    async with side_of(*way) as side:
        await start(side.store, "w")
        for bad in ("{", '"\ud800"', "\0"):
            with pytest.raises(Exception, match=r"json|encode|NUL"):
                await side.publish("w", event(1), step(2, bad))
        assert (heard(database), side.observed) == ([], [])
        assert await side.publish("w", event(1))
    assert len(heard(database)) == 1


async def test_a_refused_fence_sends_nothing_and_others_go_out(
    way: tuple[str, bool | None], database: str
) -> None:
    async with side_of(*way) as side:
        await start(side.store, "a", "b")
        writes = [FencedWrite("a", 7, [event(1)]), FencedWrite("b", 1, [event(1)])]
        committed = await side.store.journal.commit(Batch(9, [], writes))
        assert committed.accepted == {"b"}
    assert [each["topic"] for each in heard(database)] == ["workflow:b"]


async def test_a_batch_sent_again_sends_no_event_again(way: tuple[str, bool | None], database: str) -> None:
    async with side_of(*way) as side:
        await start(side.store, "w")
        batch = Batch(9, [], [FencedWrite("w", 1, [event(1), event(2)])])
        assert (await side.store.journal.commit(batch)).accepted == {"w"}
        assert not (await side.store.journal.commit(batch)).accepted
        assert set(await side.store.journal.confirm(batch)) == {"w"}
        assert not await side.publish("w", event(2, name="progress"), event(3))  # a stranger's stands there
    assert [each["payload"]["number"] for each in heard(database)] == [1, 2, 3]


async def test_a_commit_whose_answer_was_lost_has_sent_its_events_once(database: str) -> None:
    stand_in(database)
    async with relayed(database) as relay, side_of(relay.url) as side:
        await start(side.store, "w")
        batch = Batch(9, [], [FencedWrite("w", 1, [event(1)])])
        relay.answered = lambda said: b""
        lost = asyncio.create_task(side.store.journal.commit(batch))
        async with asyncio.timeout(WAIT_S):
            while not await rows(database, RECORDED):
                await asyncio.sleep(0.005)
        relay.answered = lambda said: said
        await relay.cut()
        with pytest.raises(Unreachable):
            await lost
        assert not (await side.store.journal.commit(batch)).accepted
        assert set(await side.store.journal.confirm(batch)) == {"w"}
    assert len(heard(database)) == 1


async def test_without_the_setting_nothing_is_sent(database: str) -> None:
    stand_in(database)
    store = PostgresStore(Database.at(database, "tests"), "me", "test", 4, RecoveryLimits())
    await start(store, "w")
    assert (await store.journal.commit(Batch(9, [], [FencedWrite("w", 1, [event(1)])]))).accepted
    await store.close()
    assert heard(database) == []


def test_a_batch_without_events_has_no_other_statement() -> None:
    broadcasts = Broadcasts(lambda fact: None)
    sly = step(1)._replace(name="publish progress")
    batch = Batch(1, [NewWorkflow("a", "f", None)], [FencedWrite("w", 1, [step(1), sly, step(2)])])
    assert broadcasts.request_for(batch) is None


async def test_a_large_value_stays_at_home(database: str) -> None:
    stand_in(database)
    async with side_of(database) as side:
        await start(side.store, "w")
        assert await side.publish(
            "w", event(1, '"' + "x" * 200_000 + '"'), event(2, '"' + "x" * 199_998 + '"')
        )
    large, fits = [each["payload"] for each in heard(database)]
    assert set(large) == {"id", "workflow_id", "number", "published_at"}
    assert len(fits["value"]) == 199_998


async def test_many_events_of_one_commit_all_go_out(database: str) -> None:
    stand_in(database)
    async with side_of(database) as side:
        await start(side.store, "w")
        assert await side.publish("w", *(event(number) for number in range(1, 301)))
        assert side.observed == []
    assert [each["payload"]["number"] for each in heard(database)] == list(range(1, 301))


# --- what Realtime may do ----------------------------------------------------------------------------------

SWALLOWS = "drop table realtime.messages_now"
RAISES = """
create or replace function realtime.send(payload jsonb, event text, topic text, private boolean default true)
returns void language plpgsql as $$ begin raise exception 'out of order'; end $$
"""
GONE = "drop function realtime.send"
OURS_GONE = "drop function outlast.broadcast"
OTHER = """
drop function realtime.send;
create function realtime.send(payload jsonb) returns void language sql as $$ select $$
"""


@pytest.mark.parametrize(
    ("broken", "error", "remedy"),
    [
        (SWALLOWS, "no partition", "Realtime runs"),
        (RAISES, "out of order", "tried again"),
        (GONE, "does not exist", "unset OUTLAST_REALTIME"),
        (OTHER, "does not exist", "unset OUTLAST_REALTIME"),
        (OURS_GONE, "does not exist", "tried again"),
        ("drop schema realtime cascade", "does not exist", "unset OUTLAST_REALTIME"),
        (
            "revoke insert on realtime.messages from {role}",
            "permission denied",
            "insert into realtime.messages",
        ),
        ("revoke usage on schema realtime from {role}", "permission denied", "insert into realtime.messages"),
        ("revoke execute on function realtime.send from public", "permission denied", "use the schema"),
    ],
)
@pytest.mark.usefixtures("impatient")
async def test_what_realtime_refuses_is_recorded_all_the_same_and_told_once(
    database: str, limited: str, broken: str, error: str, remedy: str
) -> None:
    async with side_of(make_conninfo(database, options=f"-c role={limited}")) as side:
        await start(side.store, "w")
        assert await side.publish("w", event(1))
        assert (len(heard(database)), side.observed) == (1, [])
        await rows(database, broken.format(role=limited))
        for number in (2, 3, 4):
            assert await side.publish("w", event(number), event(10 + number))
        (refusal,) = side.refusals
        assert error in refusal.error
        assert remedy in refusal.remedy
    assert len(await rows(database, RECORDED)) == 7


@pytest.fixture
def limited(database: str) -> Iterator[str]:
    """A role with the rights that the user of a hosted project has, and the stand-in of Realtime."""
    stand_in(database)
    role = f"limited_{database.rpartition('test_')[2].split()[0]}"
    with psycopg.connect(database, autocommit=True) as connection:
        for statement in (
            f"create role {role} bypassrls",
            f"grant usage on schema outlast, realtime to {role}",
            f"grant all on all tables in schema outlast, realtime to {role}",
            f"grant execute on all functions in schema outlast to {role}",
        ):
            connection.execute(statement.encode())
        yield role
        connection.execute(f"drop owned by {role}; drop role {role}".encode())


async def test_a_user_whom_row_level_security_holds_is_told_so(database: str, limited: str) -> None:
    await rows(
        database,
        f"""
        alter role {limited} nobypassrls;
        create policy ours on outlast.workflow_status to {limited} using (true);
        create policy ours on outlast.operation_outputs to {limited} using (true)
        """,
    )
    async with side_of(make_conninfo(database, options=f"-c role={limited}")) as side:
        await start(side.store, "w")
        assert await side.publish("w", event(1))
        assert "row-level security" in side.refusals[0].error
        assert "insert into realtime.messages" in side.refusals[0].remedy
    assert (len(await rows(database, RECORDED)), heard(database)) == (1, [])


@pytest.mark.usefixtures("impatient")
async def test_when_realtime_comes_back_that_is_told_and_events_go_out(database: str) -> None:
    async with side_of(database) as side:
        await start(side.store, "w")
        assert await side.publish("w", event(1))
        stand_in(database)
        assert await side.publish("w", event(2))
        assert await side.publish("w", event(3))
        assert [type(each) for each in side.observed] == [RealtimeRefused, RealtimeAccepted]
    assert [each["payload"]["number"] for each in heard(database)] == [2, 3]


@pytest.mark.usefixtures("impatient")
async def test_when_realtime_comes_back_all_events_of_the_commit_that_tries_go_out(database: str) -> None:
    async with side_of(database) as side:
        await start(side.store, "v", "w")
        assert await side.publish("w", event(1))
        stand_in(database)
        assert await side.publish("w", *(event(number) for number in range(2, 10)))
        assert [type(each) for each in side.observed] == [RealtimeRefused, RealtimeAccepted]
    assert [each["payload"]["number"] for each in heard(database)] == [*range(2, 10)]


@pytest.mark.parametrize(
    "workflow_id",
    ["f:" + "k" * 235, "f:" + "k" * 236, "f:" + "ü" * 118, "f:k" + "ü" * 117, "f:" + "🚲" * 250],
    ids=["237 bytes", "238 bytes", "238 in umlauts", "237 in umlauts", "1002 bytes"],
)
async def test_no_topic_is_longer_than_realtime_delivers(database: str, workflow_id: str) -> None:
    stand_in(database)
    async with side_of(database) as side:
        await start(side.store, workflow_id)
        assert await side.publish(workflow_id, event(1))
    (sent,) = heard(database)
    written = workflow_id.encode()
    long = f"workflow-sha256:{hashlib.sha256(written).hexdigest()}"
    assert sent["topic"] == (f"workflow:{workflow_id}" if len(written) <= 237 else long)
    assert len(f"realtime:{sent['topic']}".encode()) <= 255
    assert sent["payload"]["workflow_id"] == workflow_id


async def test_after_a_refusal_events_are_only_recorded_for_a_while(database: str) -> None:
    async with side_of(database) as side:
        await start(side.store, "w")
        assert await side.publish("w", event(1))
        stand_in(database)
        assert side.broadcasts.request_for(Batch(9, [], [FencedWrite("w", 1, [event(2)])])) is None


async def test_a_lock_on_realtimes_table_does_not_hold_up_the_record(database: str) -> None:
    stand_in(database)
    async with side_of(database) as side:
        await start(side.store, "w")
        async with await psycopg.AsyncConnection.connect(database) as janitor:
            await janitor.execute("lock table realtime.messages in access exclusive mode")
            recording = asyncio.create_task(side.publish("w", *(event(number) for number in range(1, 50))))
            await waits_for_a_lock(database, recording)
            assert await asyncio.wait_for(recording, WAIT_S)
            (refusal,) = side.refusals
            assert "lock timeout" in refusal.error
            assert len(await rows(database, RECORDED)) == 49
            await janitor.rollback()
        assert heard(database) == []


@pytest.mark.usefixtures("impatient")
async def test_after_a_refusal_one_event_of_a_batch_tries(database: str) -> None:
    stand_in(database)
    async with side_of(database) as side:
        await start(side.store, "w")
        await rows(database, "alter table realtime.messages detach partition realtime.messages_now")
        warnings: list[str | None] = []
        assert await side.publish("w", event(1))
        side.store.journal._wire._connection.add_notice_handler(  # type: ignore[union-attr]
            lambda notice: warnings.append(notice.message_primary)
        )
        assert await side.publish("w", *(event(number) for number in range(2, 10)))
        (warning,) = warnings
        assert "no partition" in str(warning)


@pytest.mark.usefixtures("impatient")
async def test_a_slow_realtime_gets_no_more_of_a_batch(database: str) -> None:
    stand_in(database)
    await rows(
        database,
        """
        alter function realtime.send rename to send_quickly;
        create function realtime.send(payload jsonb, event text, topic text, private boolean default true)
        returns void language plpgsql as $$
        begin
          perform pg_sleep(0.15);
          perform realtime.send_quickly(payload, event, topic, private);
        end $$
        """,
    )
    async with side_of(database) as side:
        await start(side.store, "w")
        assert await side.publish("w", *(event(number) for number in range(1, 10)))
        assert "held up" in side.refusals[0].error
    assert len(heard(database)) == 2
    assert len(await rows(database, RECORDED)) == 9


async def test_a_realtime_that_is_slow_with_each_event_is_not_asked_for_each(database: str) -> None:
    """One event a commit, as most workflows publish."""
    stand_in(database)
    await rows(database, RAISES.replace("raise exception 'out of order'", "perform pg_sleep(1.1)"))
    async with side_of(database) as side:
        await start(side.store, "w")
        assert await side.publish("w", event(1))
        assert "held up" in side.refusals[0].error
        await rows(database, RAISES)
        assert await side.publish("w", event(2))
        assert len(side.observed) == 1
    assert len(await rows(database, RECORDED)) == 2


ASLEEP = "pid from pg_stat_activity where datname = current_database() and wait_event = 'PgSleep'"
HANGS = RAISES.replace("begin raise exception 'out of order'; end", "begin perform pg_sleep(600); end")


async def test_a_realtime_that_hangs_is_given_up_when_its_statement_is(database: str) -> None:
    stand_in(database)
    await rows(database, HANGS)
    async with side_of(database) as side:
        await start(side.store, "w")
        batch = Batch(9, [], [FencedWrite("w", 1, [event(1)])])
        written = asyncio.create_task(side.store.journal.commit(batch))
        async with asyncio.timeout(WAIT_S):
            while not await rows(database, f"select pg_cancel_backend(pid) from (select {ASLEEP}) as a"):
                await asyncio.sleep(0.005)
        assert (await written).accepted == {"w"}
        assert len(side.refusals) == 1


async def test_a_realtime_that_hangs_beyond_the_journals_patience_is_left_out(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "_TIMEOUT_S", 1.0)
    stand_in(database)
    await rows(database, HANGS)
    async with side_of(database) as side:
        await start(side.store, "w")
        batch = Batch(9, [], [FencedWrite("w", 1, [event(1)])])
        with pytest.raises(Unreachable):
            await side.store.journal.commit(batch)
        await rows(database, f"select pg_terminate_backend(pid, 10000) from (select {ASLEEP}) as a")
        assert (await side.store.journal.commit(batch)).accepted == {"w"}  # as the engine's journal does
        assert len(side.refusals) == 1


def test_each_refusal_has_its_remedy() -> None:
    assert "OUTLAST_REALTIME" in remedy_for('schema "realtime" does not exist')
    assert "user of SUPABASE_DB_URL" in remedy_for("permission denied for table messages")
    assert "tried again" in remedy_for("canceling statement due to lock timeout")
