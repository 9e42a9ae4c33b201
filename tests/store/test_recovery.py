"""How a workflow passes from one instance to another: who may take it, when, and what that changes."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from outlast.core.claims import LostInstance, Room
from outlast.core.ports import Unreachable
from outlast.core.records import Batch, FencedWrite, RunningStep, Suspension
from outlast.store.postgres import PostgresStore
from tests.store.harness import rows, start, step, store_of, under_way

GONE = LostInstance("me", 0.0, expired=True)
ROW = "select owner, epoch, recovery_attempts from outlast.workflow_status where workflow_id = 'w'"
OWNER = "select owner from outlast.workflow_status where workflow_id = 'w'"
RENEW = "update outlast.instances set lease_until = now() + interval '1 hour'"
EXPIRE = "update outlast.instances set lease_until = now() - interval '1 s' where instance_id = %s"


async def started(store: PostgresStore, *ids: str, expired: bool = False) -> None:
    """Workflows of an instance that has a row, whose lease may have run out."""
    await store.instances.beat(60.0)
    await start(store, *(ids or ("w",)))
    if expired:
        await store.instances.leave()


async def claim(store: PostgresStore, room: int = 10, suspects: int = 1) -> set[str]:
    """The ids that a claim brought, within a bound: it must wait for nobody."""
    async with asyncio.timeout(10):
        claims = await store.instances.claim(Room(["f"], room, suspects))
    return {each.workflow_id for each in claims.workflows}


async def lost(store: PostgresStore) -> list[tuple[str, bool]]:
    """Whom a claim finds lost."""
    claims = await store.instances.claim(Room(["f"], 0, 0))
    return [(each.instance_id, each.expired) for each in claims.lost]


async def test_each_change_of_hands_raises_the_epoch(database: str) -> None:
    async with store_of(database) as me, store_of(database, "you") as you:
        await started(me, expired=True)
        await you.instances.recover([GONE])
        assert await rows(database, ROW) == [(None, 2, 1)]
        assert await claim(you) == {"w"}
        assert await rows(database, ROW) == [("you", 3, 1)]
        assert await you.workflows.cancel("w", "me")
        assert await rows(database, ROW) == [(None, 4, 1)]


async def test_a_living_instances_work_is_left_alone(database: str) -> None:
    async with store_of(database) as me, store_of(database, "you") as you:
        await started(me)
        # Found lost a moment ago, it has renewed its lease since.
        assert await you.instances.recover([GONE]) == []
        assert await claim(you) == set()
        # Its session was seen gone, and it came back with another before the recovery.
        assert await you.instances.recover([LostInstance("me", 0.0, expired=False)]) == []
        assert await rows(database, ROW) == [("me", 1, 0)]


async def test_whoever_is_renewing_its_lease_is_not_robbed(database: str) -> None:
    """It would be told that it owns a workflow which is somebody else's by then."""
    async with store_of(database) as me, store_of(database, "you") as you:
        await started(me, expired=True)
        async with under_way(database, RENEW), asyncio.timeout(10):
            assert await you.instances.recover([GONE]) == []
        assert await you.instances.recover([GONE]) == []
        assert await rows(database, ROW) == [("me", 1, 0)]


async def test_nobody_waits_for_a_row_that_another_has_in_hand(database: str) -> None:
    """A frozen commit holds up the takeover of its own workflow, and of no other."""
    async with store_of(database) as me, store_of(database, "you") as you:
        await started(me, "w", "x", expired=True)
        held = "select from outlast.workflow_status where workflow_id = 'w' for update"
        async with under_way(database, held), asyncio.timeout(10):
            assert await you.instances.recover([GONE]) == [("x", "PENDING")]
        await you.instances.recover([GONE])
        async with under_way(database, held):
            assert await claim(you) == {"x"}


async def test_two_claims_of_one_moment_share_what_is_due(database: str) -> None:
    async with store_of(database) as me, store_of(database, "you") as you:
        await started(me, expired=True)
        await you.instances.recover([GONE])
        taking = "update outlast.workflow_status set owner = 'it', epoch = epoch + 1, claimable_at = null"
        async with under_way(database, taking):
            assert await claim(you) == set()
        assert await rows(database, ROW) == [("it", 3, 1)]


async def test_what_is_not_due_is_not_claimed(database: str) -> None:
    async with store_of(database) as me:
        await started(me, "w", "x")
        writes = [FencedWrite("w", 1, [], Suspension(9e9)), FencedWrite("x", 1, [], Suspension(1.0))]
        assert (await me.journal.commit(Batch(2, [], writes))).accepted == {"w", "x"}
        assert await claim(me) == {"x"}


async def test_what_was_lost_often_is_claimed_alone_and_within_the_room(database: str) -> None:
    async with store_of(database) as me, store_of(database, "you", suspect_after=1, backoff_s=0.0) as you:
        await started(me, "w", "x", "y", expired=True)
        await you.instances.recover([GONE])
        assert await claim(you, suspects=0) == set()
        assert len(await claim(you, suspects=1)) == 1


async def test_suspects_are_looked_for_among_themselves(database: str) -> None:
    """Whatever else is due: without an index of their own each claim reads all of it."""
    async with store_of(database) as store:
        await rows(
            database,
            "insert into outlast.workflow_status (workflow_id, function, status, input, claimable_at)"
            " select 'w' || n, 'f', 'PENDING', '{}', now() - interval '1 h' from generate_series(1, 20000) n",
        )
        await rows(database, "analyze outlast.workflow_status")
        read = "select seq_tup_read + idx_tup_fetch from pg_stat_all_tables where relname = 'workflow_status'"
        await rows(database, "select pg_stat_reset()")
        for _ in range(15):  # the driver prepares it by then, and Postgres plans for any parameters
            await store.instances.claim(Room(["f"], 1, 1))
        await store.instances.close()  # a session's figures are known at its end

        async def told() -> bool:
            return (await rows(database, read))[0][0] > 0

        async with asyncio.timeout(20):
            while not await told():
                await asyncio.sleep(0.05)
        assert (await rows(database, read))[0][0] < 2_000


@pytest.mark.parametrize(("suspension", "attempts"), [(None, 3), (9e9, 0)], ids=["hand-over", "sleep"])
async def test_a_hand_over_keeps_the_count_and_a_suspension_starts_it_anew(
    database: str, suspension: float | None, attempts: int
) -> None:
    async with store_of(database) as me:
        await started(me)
        await rows(database, "update outlast.workflow_status set recovery_attempts = 3")
        await me.journal.commit(Batch(2, [], [FencedWrite("w", 1, [], Suspension(suspension))]))
        assert await rows(database, ROW) == [(None, 1, attempts)]


async def lose(store: PostgresStore, *, record: int | None = None) -> tuple[int, float]:
    """Claim `w`, record a step, be lost; how often that was so in vain, and how long it has to wait."""
    await store.instances.beat(60.0)
    await rows(store.database.conninfo, "update outlast.workflow_status set claimable_at = now()")
    assert await claim(store) == {"w"}
    ((epoch,),) = await rows(store.database.conninfo, "select epoch from outlast.workflow_status")
    if record is not None:
        write = FencedWrite("w", epoch, [step(record)])
        assert (await store.journal.commit(Batch(epoch, [], [write]))).accepted == {"w"}
    await store.instances.leave()
    await store.instances.recover([GONE])
    ((attempts, wait_s),) = await rows(
        store.database.conninfo,
        "select recovery_attempts, extract(epoch from claimable_at - updated_at)::float8"
        " from outlast.workflow_status",
    )
    return attempts, wait_s


async def test_losses_in_vain_are_counted_and_backed_off_and_progress_starts_the_count_anew(
    database: str,
) -> None:
    async with store_of(database, backoff_s=8.0) as me:
        await started(me, expired=True)
        await me.instances.recover([GONE])
        assert (await lose(me))[0] == 2
        assert await lose(me, record=1) == (1, 0.0)
        # What was recorded before it was claimed is no progress.
        attempts, wait_s = await lose(me)
        assert attempts == 2
        assert 4.0 <= wait_s <= 8.0
        attempts, wait_s = await lose(me)
        assert attempts == 3
        assert 8.0 <= wait_s <= 16.0


async def test_past_the_limit_nobody_tries_any_more(database: str) -> None:
    async with store_of(database, attempts_max=1, backoff_s=0.0) as me:
        await started(me, expired=True)
        assert await me.instances.recover([GONE]) == [("w", "PENDING")]
        await me.instances.beat(60.0)
        assert await claim(me) == {"w"}
        await me.instances.leave()
        assert await me.instances.recover([GONE]) == [("w", "EXHAUSTED")]
        assert await claim(me) == set()


async def test_an_instance_is_lost_by_its_lease_or_its_session_and_never_to_itself(database: str) -> None:
    async with store_of(database) as me, store_of(database, "you") as you:
        await started(me)
        await you.instances.beat(60.0)
        assert await lost(you) == []
        await rows(database, EXPIRE, "me")
        assert await lost(you) == [("me", True)]
        assert await lost(me) == []


async def test_another_session_under_the_same_number_is_not_the_one_that_is_gone(database: str) -> None:
    """Postgres and the kernel give numbers of processes anew."""
    async with store_of(database) as me, store_of(database, "you") as you:
        await started(me)
        await rows(
            database, "update outlast.instances set backend_started = backend_started - interval '1 hour'"
        )
        assert await lost(you) == [("me", False)]


async def test_a_session_from_before_a_crash_within_the_server_went_with_all_others(database: str) -> None:
    """The server itself goes on; that it began anew is seen by when its own processes began."""
    begun = "select backend_start from pg_stat_activity where backend_type = 'checkpointer'"
    async with store_of(database) as me, store_of(database, "you") as you:
        await started(me)
        for ago, restarted in (("1 microsecond", True), ("-1 microsecond", False)):
            await rows(
                database,
                f"update outlast.instances set backend_started = ({begun}) - interval '{ago}'",
            )
            claims = await you.instances.claim(Room(["f"], 0, 0))
            assert [(each.instance_id, each.restarted) for each in claims.lost] == [("me", restarted)]


async def test_a_lease_ends_when_its_instance_leaves(database: str) -> None:
    async with store_of(database) as me, store_of(database, "you") as you:
        await started(me)
        await me.instances.leave()
        assert await lost(you) == [("me", True)]


@pytest.mark.parametrize("change", ["epoch = 2", "owner = 'you'"])
async def test_only_what_is_still_its_own_is_given_back(database: str, change: str) -> None:
    async with store_of(database) as me:
        await started(me, "w", "x")
        await rows(database, f"update outlast.workflow_status set {change} where workflow_id = 'w'")
        before = await rows(database, ROW)
        await me.instances.release({"w": 1, "x": 1})
        assert await rows(database, ROW) == before
        assert await claim(me) == {"x"}


async def test_who_has_work_is_not_forgotten_and_whoever_is_unknown_is_known_as_lost(database: str) -> None:
    async with store_of(database) as me, store_of(database, "you") as you:
        await started(me, expired=True)
        for name in ("idle", "busy"):
            await rows(database, "insert into outlast.instances values (%s, '-infinity')", name)
        await start(me, "b", "u", nonce=2)
        await rows(database, "update outlast.workflow_status set owner = 'busy' where workflow_id = 'b'")
        await rows(database, "update outlast.workflow_status set owner = 'unknown' where workflow_id = 'u'")
        await you.instances.tidy()
        known = await rows(database, "select instance_id from outlast.instances order by 1")
        assert known == [("busy",), ("me",), ("unknown",)]
        assert sorted(await lost(you)) == [("busy", True), ("me", True), ("unknown", True)]


async def test_a_cancelled_workflow_is_nobodys_and_no_loss_of_its_owner_wakes_it(database: str) -> None:
    async with store_of(database) as me, store_of(database, "you") as you:
        await started(me, expired=True)
        assert await you.workflows.cancel("w", "me")
        assert not await me.workflows.cancel("w", "me"), "it was cancelled already"
        assert await rows(database, OWNER) == [(None,)]
        await you.instances.recover([GONE])
        assert await claim(you) == set()


async def test_a_beat_tells_what_is_owned(database: str) -> None:
    async with store_of(database) as me, store_of(database, "you") as you:
        await started(me)
        await start(you, "x", nonce=2)
        assert (await me.instances.beat(60.0)).owned == {"w": 1}


async def test_what_has_waited_longest_is_claimed_first_by_who_can_run_it(database: str) -> None:
    async with store_of(database) as me:
        await start(me, "new", "old")
        writes = [FencedWrite(each, 1, [], Suspension(at)) for each, at in (("new", 2.0), ("old", 1.0))]
        await me.journal.commit(Batch(2, [], writes))
        assert (await me.instances.claim(Room(["another"], 10, 1))).workflows == []
        assert await claim(me, room=1) == {"old"}


async def test_a_beat_renews_the_lease_and_names_the_new_session(database: str) -> None:
    named = "select lease_until > now() + interval '30 s', backend_pid from outlast.instances"
    async with store_of(database) as me, store_of(database, "you") as you:
        await me.instances.beat(1.0)
        await start(me, "w")
        ((renewed, before),) = await rows(database, named)
        assert not renewed
        await rows(database, "select pg_terminate_backend(%s, 10000)", before)
        with contextlib.suppress(Unreachable):  # the first to use the connection may be told
            await me.instances.beat(1.0)
        await me.instances.beat(60.0)
        ((renewed, after),) = await rows(database, named)
        assert renewed
        assert after != before
        assert await lost(you) == []


@pytest.mark.parametrize("name", ["x\0y", "\ud800"])
async def test_a_step_that_postgres_cannot_name_ends_no_lease(database: str, name: str) -> None:
    async with store_of(database) as store:
        await store.instances.beat(60.0, [RunningStep("w", 1, "1", name, 1, 0.0, None)])
        assert await rows(database, "select running::text, lease_until > now() from outlast.instances") == [
            ("[]", True)
        ]
