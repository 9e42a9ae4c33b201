"""Deadlocks and serialization failures of the engine's own statements: they did nothing, and run again."""

from __future__ import annotations

import pytest

from outlast.core.claims import Room
from outlast.core.ports import Unreachable
from outlast.core.records import Batch, FencedWrite, Suspension
from tests.store.harness import rows, start, store_of

REFUSE = """
create sequence public.tries;
create function public.refuse() returns trigger language plpgsql as $$
begin
  if nextval('public.tries') <= tg_argv[0]::int then
    raise exception using errcode = tg_argv[1], message = 'refused';
  end if;
  return new;
end
$$;
"""


async def refuse(url: str, table: str, times: int, code: str) -> None:
    """Let so many writes of rows of a table fail."""
    await rows(url, REFUSE)
    trigger = (
        f"create trigger refuse before insert or update on outlast.{table} for each row execute function"
    )
    await rows(url, f"{trigger} public.refuse('{times}', '{code}')")


@pytest.mark.parametrize("code", ["40P01", "40001"])
async def test_an_instance_takes_its_lease_though_the_statement_conflicts(database: str, code: str) -> None:
    await refuse(database, "instances", 3, code)
    async with store_of(database) as store:
        await store.instances.beat(60.0)
        await store.instances.leave()
    assert await rows(database, "select instance_id from outlast.instances") == [("me",)]


@pytest.mark.parametrize("code", ["40P01", "40001"])
async def test_a_claim_and_a_cancel_that_conflict_are_done(database: str, code: str) -> None:
    async with store_of(database) as store:
        await start(store, "w", "v")
        await store.journal.commit(Batch(2, [], [FencedWrite("w", 1, [], Suspension(None))]))
        await refuse(database, "workflow_status", 1, code)
        (claimed,) = (await store.instances.claim(Room(["f"], 5, 5))).workflows
        assert claimed.workflow_id == "w"
        await rows(database, "select setval('public.tries', 1, false)")
        assert await store.workflows.cancel("v", "me")


async def test_what_conflicts_on_and_on_is_as_good_as_away(database: str) -> None:
    await refuse(database, "instances", 1_000, "40P01")
    async with store_of(database) as store:
        with pytest.raises(Unreachable, match="refused"):
            await store.instances.beat(60.0)


@pytest.mark.parametrize("code", ["55P03", "57014", "53200"])
async def test_what_the_server_gave_up_is_not_asked_again_at_once(database: str, code: str) -> None:
    """Each time would wait, or take, as much again."""
    async with store_of(database) as store:
        await start(store, "w")
        await refuse(database, "workflow_status", 1, code)
        with pytest.raises(Unreachable, match=r"refused|another transaction"):
            await store.workflows.cancel("w", "me")
        assert await store.workflows.cancel("w", "me")
    assert await rows(database, "select last_value >= 2 from public.tries") == [(True,)]
