"""Pages and streams of what is large: they come in parts, and nothing is left out."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote

import psycopg

from tests.http.harness import Served, fresh_key
from tests.http.test_events import all_events
from tests.http.test_published import all_published

MIB = 2**20
PAGE_MIB = 4


def ended(host: Served, events: int, event_bytes: int) -> str:
    """The id of a workflow that has published that much."""
    key = fresh_key()
    host.open(key)
    assert host.call("telling", {"key": key}, key=key).status_code == 200
    with psycopg.connect(host.database, autocommit=True) as connection:
        connection.execute(
            "insert into outlast.operation_outputs"
            " (workflow_id, step_id, name, output, completion_order, attempts, kind)"
            " select %s, 'x' || n, 'publish large', to_json(repeat('a', %s)), 10 + n, 0, 'publish'"
            " from generate_series(1, %s) n",
            [f"telling:{key}", event_bytes, events],
        )
    return f"telling:{key}"


def pages(host: Served, path: str, name: str) -> list[list[dict[str, Any]]]:
    """All of a listing, by its links."""
    found: list[list[dict[str, Any]]] = []
    following: str | None = path
    while following is not None:
        answer = host.admin.get(following)
        assert answer.status_code == 200, answer.text
        assert len(answer.content) < (PAGE_MIB + 0.1) * MIB
        found.append(answer.json()[name])
        link = re.fullmatch(r'<(.*)>; rel="next"', answer.headers.get("link", ""))
        following = link[1] if link else None
        assert answer.json()["next"] == following
    return found


def test_pages_end_early_where_rows_are_large(host: Served) -> None:
    workflow_id = ended(host, 10, MIB)
    path = f"/workflows/v1/{quote(workflow_id, safe=':')}"
    steps = pages(host, f"{path}/steps", "steps")
    assert [each["step_id"] for page in steps for each in page][-10:] == [f"x{n}" for n in range(1, 11)]
    assert len(steps) == 4
    events = pages(host, f"{path}/events?event=large", "events")
    assert [each["number"] for page in events for each in page] == list(range(11, 21))
    assert len(events) == 4


def test_streams_go_on_after_each_part(host: Served) -> None:
    workflow_id = ended(host, 10, MIB)
    published = all_published(host, workflow_id)
    assert [each.number for each in published[-11:]] == [*map(str, range(11, 21)), None]
    assert published[-1].kind == "end"
    key = workflow_id.partition(":")[2]
    called = all_events(host, "telling", key)
    assert [each.number for each in called if each.kind == "event"][-10:] == [*map(str, range(11, 21))]
    assert called[-1].kind == "result"
