"""How much memory JSON takes once it is read: every way to start says it, and SQL counts as Python does."""

from __future__ import annotations

import json

import psycopg
import pytest

from outlast.core.budget import FACTOR, VALUE_BYTES, weigh
from outlast.core.claims import Room, Space
from outlast.core.records import Batch, NewWorkflow
from tests.store.harness import store_of

DENSE = [f"[{'[],' * 1000}0]", f"[{'{},' * 1000}0]", '{"a":' * 50 + "1" + "}" * 50]
PLAIN = ["0", '"' + "a" * 10_000 + '"', json.dumps({"id": 1, "name": "n"}), *DENSE]


@pytest.mark.parametrize("text", DENSE)
def test_dense_json_weighs_what_it_takes(text: str) -> None:
    structure = sum(map(text.count, "[{,:"))
    assert weigh(text) == len(text) + structure * VALUE_BYTES // FACTOR
    assert weigh(text, None, text) == 2 * weigh(text)


@pytest.mark.parametrize(("letter", "width"), [("a", 1), ("é", 1), ("語", 2), ("🙂", 4)])
def test_a_text_weighs_by_its_widest_character(letter: str, width: int) -> None:
    """Python keeps it so: one of four bytes makes all others as large."""
    assert width * 10_000 <= weigh('"' + "a" * 9_999 + letter + '"') <= width * 10_000 + 200


@pytest.mark.parametrize("text", [*PLAIN, '"é"', '"語🙂"'])
def test_sql_weighs_as_python_does(database: str, text: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        (found,) = connection.execute("select outlast.load_bytes_of(%s)", [text]).fetchone() or (0,)
        connection.execute("select outlast.start('f', %s::json)", [text])
        stored = connection.execute("select load_bytes from outlast.workflow_status").fetchone()
    assert stored == (found,)
    assert found == weigh(text) if text.isascii() else 0 < found <= weigh(text) * 4


async def test_who_starts_says_it_and_a_claim_goes_by_it(database: str) -> None:
    """What says nothing, as rows of old versions and of other tools, is weighed by the claim."""
    async with store_of(database, "i") as store:
        await store.journal.commit(Batch(1, [NewWorkflow("told", "f", DENSE[0], load_bytes=77)], []))
        with psycopg.connect(database, autocommit=True) as connection:
            connection.execute("update outlast.workflow_status set owner = null, claimable_at = now()")
            connection.execute(
                "insert into outlast.workflow_status (workflow_id, function, status, input, claimable_at)"
                " values ('untold', 'f', 'ENQUEUED', %s, now())",
                [DENSE[0]],
            )
        await store.instances.beat(30, None)
        claimed = (await store.instances.claim(Room(["f"], 10, 0, Space(10**9, alone=False)))).workflows
        assert {each.workflow_id: each.load_bytes for each in claimed} == {
            "told": 77, "untold": weigh(DENSE[0])
        }  # fmt: skip
        weights: dict[str, int] = {}
        async for each in store.workflows.load(claimed, lambda each: False):
            weights[each.workflow_id] = each.load_bytes
        assert set(weights.values()) == {weigh(DENSE[0])}
