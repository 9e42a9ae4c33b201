"""What a transaction's body can't do by the connection it is lent: to end it, not even in part."""

from __future__ import annotations

from typing import Any

import pytest

from outlast import transaction, workflow
from tests.engine.harness import engine_on

pytestmark = pytest.mark.postgres

TABLE = "create table public.effects (n int)"


@transaction
async def pays(tx: Any, how: str) -> None:
    await tx.execute("insert into public.effects values (1)")
    await (tx.set_autocommit(True) if how == "autocommit" else getattr(tx, how)())


@transaction
def pays_def(tx: Any, how: str) -> None:
    tx.execute("insert into public.effects values (1)")
    if how == "autocommit":
        tx.autocommit = True
    else:
        getattr(tx, how)()


@workflow
async def flow(kind: str, how: str) -> None:
    await (pays(how) if kind == "async" else pays_def.aio(how))


@pytest.mark.parametrize("how", ["commit", "rollback", "close", "autocommit"])
@pytest.mark.parametrize("kind", ["async", "def"])
async def test_nothing_is_committed_by_a_body_that_tries_to(database: str, kind: str, how: str) -> None:
    async with engine_on(database, flow) as bench:
        await bench.rows(TABLE)
        failure = await bench.failure(await bench.start(flow, kind, how))
        assert failure["failure"]["type"] == "UsageError", failure
        assert await bench.rows("select * from public.effects") == []
