"""Every write of the engine that conflicts with another's did nothing, and is done again: no body sees it."""

from __future__ import annotations

import asyncio
from typing import Any

import psycopg
import pytest

from outlast import (
    Limit,
    Queue,
    context,
    map_,
    publish,
    receive,
    rows,
    saga,
    send,
    sleep,
    start,
    start_all,
    step,
    transaction,
    workflow,
)
from tests.engine.harness import engine_on

pytestmark = pytest.mark.postgres

REFUSE_FIRST_TRIES = """
create schema conflicts;
do $$ begin
  for n in 0..255 loop execute format('create sequence conflicts.tries_%s', n); end loop;
end $$;
-- A sequence remembers what a rollback would undo. Tests have no application_name.
create function conflicts.refuse() returns trigger language plpgsql as $$
begin
  if current_setting('application_name') <> ''
    and nextval(format('conflicts.tries_%s', abs(hashtext(left(current_query(), 300)) % 256))) = 1 then
    raise exception using errcode = '40001', message = 'the first try of a statement';
  end if;
  return case when tg_op = 'DELETE' then old else new end;
end $$;
do $$
declare each regclass;
begin
  for each in
    select c.oid from pg_class c
    where c.relnamespace = 'outlast'::regnamespace and c.relkind = 'r' and c.relname <> 'schema_migrations'
  loop
    execute format(
      'create trigger a_conflict before insert or update or delete on %s'
        ' for each row execute function conflicts.refuse()',
      each
    );
  end loop;
end $$;
"""

REFUSED = "select count(*)::int as n from pg_sequences where schemaname = 'conflicts' and last_value > 0"


@step(limit=Limit("narrow", concurrency=1))
async def double(number: int) -> int:
    return number * 2


@transaction
async def count_up(tx: Any, name: str) -> int:
    row = await (
        await tx.execute(
            "insert into public.counts as c values (%s, 1)"
            " on conflict (name) do update set n = c.n + 1 returning n",
            (name,),
        )
    ).fetchone()
    return int(row[0])


@workflow
async def item(number: int) -> int:
    return await double(number)


@workflow(queue=Queue("line", concurrency=2))
async def queued(number: int) -> int:
    return await double(number)


@workflow
async def echo(parent: str) -> str:
    heard: str = await receive("question", of=str)
    await send(parent, heard, topic="answer")
    await publish("heard", heard)
    return heard


async def forget(result: int, name: str) -> None:
    await count_up(f"forgot {name}")


@workflow
async def everything() -> dict[str, Any]:
    child = await start(echo, context().workflow_id)
    await send(child.workflow_id, "hello", topic="question")
    heard = await receive("answer", of=str)
    await context().set_attributes({"heard": heard})
    try:
        async with saga() as s:
            await s.do(count_up, "in a saga", undo=forget)
            raise ValueError
    except ValueError:
        pass
    await sleep(0.5)  # it leaves the memory
    listed = await map_(item, [1, 2, 3])
    queried = await map_(item, rows("select n from generate_series(1, 3) as n"), concurrency=1)
    started = await start_all(queued, [4, 5])
    return {
        "heard": heard,
        "published": [each async for each in child.events("heard")],
        "child": await child.result(),
        "counted": await count_up("in a saga"),
        "listed": list(listed),
        "queried": list(queried),
        "started": [await each.result() for each in started],
    }


async def test_the_first_try_of_each_statement_conflicts_and_no_body_sees_it(database: str) -> None:
    async with (
        engine_on(database, everything, echo, item, queued, moment_s=0.1) as bench,
        asyncio.timeout(60),
    ):
        with psycopg.connect(database, autocommit=True) as connection:
            connection.execute("create table public.counts (name text primary key, n int)")
            connection.execute(REFUSE_FIRST_TRIES)
        assert await bench.run(everything) == {
            "heard": "hello",
            "published": ["hello"],
            "child": "hello",
            "counted": 2,
            "listed": [2, 4, 6],
            "queried": [2, 4, 6],
            "started": [8, 10],
        }
        (found,) = await bench.rows(REFUSED)
        assert found["n"] > 12  # so many statements had a first try that was refused
        assert {each["n"] for each in await bench.rows("select n from public.counts")} == {1, 2}
