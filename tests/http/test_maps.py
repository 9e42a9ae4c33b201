"""Maps over HTTP: their result, how far they are, and what operators do to them."""

from __future__ import annotations

from urllib.parse import quote

from tests.hosts import until
from tests.http.harness import Served, fresh_key
from tests.http.test_published import all_published

MANAGEMENT = "/workflows/v1"


def begun(host: Served, function: str = "mapping", **arguments: object) -> str:
    answer = host.call(
        function, json=arguments, headers={"prefer": "respond-async", "idempotency-key": fresh_key()}
    )
    assert answer.status_code == 202, answer.text
    return str(answer.headers["workflow-id"])


def shown(host: Served, workflow_id: str) -> dict[str, object]:
    return dict(host.admin.get(f"{MANAGEMENT}/{quote(workflow_id, safe=':')}").json())


def go(host: Served, workflow_id: str) -> None:
    path = f"{MANAGEMENT}/{quote(workflow_id, safe='')}/messages"
    answer = host.admin.post(f"{path}/go", json=1)
    assert answer.status_code < 300, answer.text


def test_a_call_gives_what_its_items_gave(host: Served) -> None:
    answer = host.call("mapping", json={"numbers": [1, -2, 3], "tolerate": 1})
    assert (answer.status_code, answer.json()) == (
        200,
        {"all": 3, "ok": {"0": 10, "2": 30}, "failed": ["no -2"]},
    )
    assert host.call("mapping/many", json={"numbers": [1, 2, 3]}).json() == [10, 20, 30]


def test_more_failures_than_are_tolerated_are_the_calls_own(host: Served) -> None:
    answer = host.call("mapping", {"numbers": [1, -2]})
    assert (answer.status_code, answer.json()["code"]) == (500, "workflow_error")
    assert "no -2" not in answer.text


def test_progress_is_an_event_and_tells_what_is_waited_for(host: Served) -> None:
    parent_id = begun(host, numbers=[1, 2, 100])
    until(lambda: shown(host, parent_id)["waiting_on"] == "map mapping/ship 2/3", "it waits for its map")
    listed = host.admin.get(MANAGEMENT, params={"parent": f"{parent_id}/map.1"}).json()
    assert len(listed["workflows"]) == 3
    go(host, f"{parent_id}/map.1/2")
    until(lambda: shown(host, parent_id)["status"] == "SUCCESS", "it ends")
    *_, last = [each.data for each in all_published(host, parent_id) if each.kind == "event"]
    assert (last["event"], last["value"]) == (
        "map.1",
        {"total": 3, "started": 3, "ok": 3, "failed": 0},
    )


def test_operators_change_how_many_run_and_cancel_all(host: Served) -> None:
    parent_id = begun(host, numbers=[100, 101, 102, 103], concurrency=1)
    map_id = f"{parent_id}/map.1"
    queue = f"/queues/v1/{quote(map_id, safe='')}"
    until(lambda: host.admin.get(queue).status_code == 200, "its queue is there")
    assert host.admin.get(queue).json()["limits"] == {"concurrency": 1}
    answer = host.admin.patch(queue, json={"concurrency": 4, "why": "hurry"})
    assert answer.json()["limits"] == {"concurrency": 4}
    assert host.admin.post(f"{MANAGEMENT}/{quote(parent_id, safe='')}/cancel").status_code == 200
    for place in range(4):
        until(lambda: shown(host, f"{map_id}/{place}")["status"] == "CANCELLED", "its items end")  # noqa: B023
    until(lambda: host.admin.get(queue).status_code == 404, "its queue goes")
