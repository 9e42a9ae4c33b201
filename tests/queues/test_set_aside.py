"""Messages that a trigger refuses: `outlast doctor` names them, and its remedy lets them be tried at once."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path

import psycopg

from outlast import workflow
from tests import forked
from tests.engine.harness import Bench, engine_on
from tests.queues.test_consume import left, result, send

REFUSING = """
create function outlast.picky() returns trigger language plpgsql as $$
begin
  if starts_with(new.input ->> 'sku', 'bad') then raise 'no %% here', new.input ->> 'sku'; end if;
  return new;
end $$;
create trigger picky before insert on outlast.workflow_status for each row execute function outlast.picky()
"""


@workflow(queue="pgmq:orders")
async def takes(sku: str) -> str:
    return sku


async def doctor(folder: Path, database: str) -> list[dict[str, str]]:
    """What `outlast doctor --json` says of messages."""
    given = {**os.environ, "SUPABASE_DB_URL": database, "OUTLAST_FUNCTIONS": str(folder)}
    done = await asyncio.to_thread(forked.run, ("doctor", "--json"), folder, given, None, 45.0)
    found: list[dict[str, str]] = json.loads(done.stdout)["findings"]
    return [each for each in found if each["id"] == "message_refused"]


async def until_tried(bench: Bench, message_id: int, times: int) -> None:
    async def tried() -> bool:
        rows = await bench.rows("select read_ct from pgmq.q_orders where msg_id = %s", message_id)
        return rows[0]["read_ct"] >= times

    await bench.until(tried)


async def test_doctor_names_what_is_refused_and_its_remedy_mends_it(
    queue_database: str, tmp_path: Path
) -> None:
    async with engine_on(queue_database, takes) as bench:
        await bench.rows(REFUSING)
        good = await send(bench, '{"sku": "w"}')
        assert await result(bench, f"pgmq:orders:{good}") == "w"
        assert await doctor(tmp_path, queue_database) == []
        bad = [await send(bench, json.dumps({"sku": f"bad {n}"})) for n in range(3)]
        for each in bad:
            await until_tried(bench, each, 1)
        await until_tried(bench, bad[0], 3)
        (found,) = await doctor(tmp_path, queue_database)
        assert found["level"] == "wrong"
        assert "3 messages of the queue pgmq:orders become no workflows" in found["what"]
        assert any(found["what"].endswith(f"({each}): no bad {n} here") for n, each in enumerate(bad))
        assert "mend what Postgres says" in found["remedy"]
        await bench.rows("drop trigger picky on outlast.workflow_status")
        await bench.rows("update pgmq.q_orders set vt = now() + interval '1 hour'")
        await bench.rows(found["remedy"].split("`")[1])
        for n, each in enumerate(bad):
            assert await result(bench, f"pgmq:orders:{each}") == f"bad {n}"
        assert await left(bench) == 0
        assert await doctor(tmp_path, queue_database) == []


async def test_what_is_refused_again_and_again_is_named_beside_what_was_refused_once(
    queue_database: str, tmp_path: Path
) -> None:
    """One that gets through at its second try hides none that doesn't."""
    async with engine_on(queue_database, takes) as bench:
        await bench.rows(REFUSING)
        bad = await send(bench, '{"sku": "bad 1"}')
        await until_tried(bench, bad, 3)
        once = await send(bench, '{"sku": "bad 2"}')
        await until_tried(bench, once, 1)
        await bench.rows("select pgmq.delete('orders', %s::bigint)", once)
        (found,) = await doctor(tmp_path, queue_database)
        assert found["what"].startswith("1 messages of the queue pgmq:orders ")
        assert found["what"].endswith(f"({bad}): no bad 1 here")


async def test_doctor_goes_on_where_the_queue_is_gone(queue_database: str, tmp_path: Path) -> None:
    async with engine_on(queue_database, takes) as bench:
        await bench.rows(REFUSING)
        await until_tried(bench, await send(bench, '{"sku": "bad 1"}'), 1)
    with psycopg.connect(queue_database, autocommit=True) as connection:
        connection.execute("select pgmq.drop_queue('orders')")
    assert await doctor(tmp_path, queue_database) == []
