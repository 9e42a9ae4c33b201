"""Transactions of users' tests on the embedded Postgres: asked for by an option, or by a mark."""

from __future__ import annotations

import pytest

pytest_plugins = ["pytester"]
pytestmark = pytest.mark.timeout(240)  # each starts a pytest of its own, some of them workers

SCHEMA = "create table widgets (sku text primary key, stock int not null check (stock >= 0));"
TESTS = """
import pytest
from outlast import step, transaction, workflow

@transaction
async def reserve(tx, sku: str, quantity: int) -> bool:
    taken = await tx.execute(
        "update widgets set stock = stock - %s where sku = %s and stock >= %s", (quantity, sku, quantity)
    )
    return taken.rowcount == 1

@transaction
def restock(tx, sku: str, quantity: int) -> int:
    row = tx.execute(
        "insert into widgets as w values (%s, %s) on conflict (sku) "
        "do update set stock = w.stock + excluded.stock returning stock", (sku, quantity)
    ).fetchone()
    return row[0]

@step
async def charge() -> str:
    return "paid"

@workflow
async def buy() -> dict:
    stock = await restock.aio("w", 5)
    assert await reserve("w", 2)
    return {"stock": stock, "payment": await charge()}

def stock(outlast):
    return outlast.execute("select stock from widgets where sku = %s", ["w"])

def test_each_test_has_a_database_of_its_own(outlast):
    assert outlast.run(buy).result == {"stock": 5, "payment": "paid"}
    assert stock(outlast) == [{"stock": 3}]

async def test_and_async_ones(outlast):
    assert (await outlast.run(buy)).result == {"stock": 5, "payment": "paid"}
    assert (await outlast.run(buy)).result == {"stock": 8, "payment": "paid"}
    assert stock(outlast) == [{"stock": 6}]

def test_each_crash_has_one_too(outlast):
    asked = []
    outlast.before_each(lambda: asked.append(stock(outlast)))
    report = outlast.crash_everywhere(buy)
    assert report.crashes > 10
    assert not any(asked)

def test_a_stub_wins(outlast):
    outlast.stub(restock, returns=7)
    outlast.execute("insert into widgets values ('w', 2)")
    assert outlast.run(buy).result["stock"] == 7
    assert stock(outlast) == [{"stock": 0}]
"""


@pytest.fixture
def project(pytester: pytest.Pytester) -> pytest.Pytester:
    """A user's folder, with a migration."""
    migrations = pytester.mkdir("supabase") / "migrations"
    migrations.mkdir()
    (migrations / "20260101000000_widgets.sql").write_text(SCHEMA)
    pytester.makeini("[pytest]\n")
    return pytester


@pytest.mark.slow
@pytest.mark.parametrize("options", [["--outlast-pg"], ["--outlast-pg", "-n", "2"]])
def test_by_an_option(project: pytest.Pytester, options: list[str]) -> None:
    project.makepyfile(test_it=TESTS)
    result = project.runpytest_subprocess("-p", "no:schemathesis", *options, timeout=200)
    assert result.parseoutcomes() == {"passed": 4}


def test_by_a_mark_and_not_without(project: pytest.Pytester) -> None:
    one = TESTS.partition("async def test_and")[0].replace(
        "def test_each", "@pytest.mark.outlast_pg\ndef test_each"
    )
    project.makepyfile(test_it=one + "\ndef test_without(outlast):\n    outlast.execute('select 1')\n")
    result = project.runpytest_subprocess("-p", "no:schemathesis", timeout=200)
    assert result.parseoutcomes() == {"passed": 1, "failed": 1}
    result.stdout.fnmatch_lines(["*outlast.execute needs Postgres: run the tests with `--outlast-pg`*"])
