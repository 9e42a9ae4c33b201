"""What a viewer key sees of the dashboard: every page, and no value in it."""

from __future__ import annotations

import itertools

import httpx
import pytest

from outlast.core.resources import RESOURCES, WORKFLOW, Column, Kind
from outlast.web.dashboard.views import DASHBOARD, VIEWS
from tests.hosts import NO_CERTIFICATES, SECRET
from tests.http.conftest import Start
from tests.http.harness import LIMIT_S, Served, fresh_key

VIEWER = "viewer_key_of_the_tests_0123"
MARK = "value-that-only-operators-see"

SHOWN = {
    "limits", "base", "override", "paused_keys", "functions", "upcoming", "newest", "versions",
}  # fmt: skip
"""Members with JSON that isn't of workflows' work."""


ENDED = (
    (
        "update outlast.workflow_status set input = %s, output = %s, error = %s, response = %s,"
        " attributes = %s, status = 'ERROR', completed_at = now(), owner = null, claimable_at = null,"
        " epoch = epoch + 9"
        " where workflow_id = %s",
        "mark", "mark", "error", "mark", "mark", "id",
    ),
    (
        "insert into outlast.operation_outputs (workflow_id, step_id, name, kind, output, error, attempts,"
        " completion_order, completed_at, settled) select %s, s.*, now(), null from (values"
        " ('11', 'step', 'step', %s::json, null::json, 1, 1), ('12', 'step', 'step', null, %s::json, 1, 2),"
        " ('13', 'publish progress', 'publish', %s::json, null, 0, 3)) as s",
        "id", "mark", "error", "mark",
    ),
    (
        "insert into outlast.acts (verb, noun, name, by, before) values ('cancel', 'workflow', %s, 'x', %s)",
        "id", "mark",
    ),
)  # fmt: skip
"""Values in every place, and what they are given."""


@pytest.fixture(scope="module")
def marked(start_host: Start) -> tuple[Served, str]:
    """A host with a workflow in which every value is marked; its id."""
    host = start_host(viewer_key=VIEWER)
    workflow_id = host.begin("held", fresh_key())
    mark = f'{{"{MARK}": "{MARK}"}}'
    error = f'{{"code": "workflow_error", "message": "{MARK}", "failure": {mark}}}'
    for text, *given in ENDED:
        values = {"id": workflow_id, "mark": mark, "error": error}
        host.query(text, *(values[each] for each in given))
    return host, workflow_id


def pages(host: Served, key: str, workflow_id: str) -> dict[str, str]:
    """The text of every view that can be read, by its address."""
    found = {}
    with httpx.Client(
        base_url=host.url,
        headers={"authorization": f"Bearer {key}", "accept": "text/html"},
        timeout=LIMIT_S,
        verify=NO_CERTIFICATES,
    ) as client:
        for view in VIEWS:
            if view.method != "GET":
                continue
            path = DASHBOARD + view.path
            for name, value in (("{workflow_id}", workflow_id), ("{name}", "none"), ("{function}", "held")):
                path = path.replace(name, value)
            answer = client.get(path)
            assert answer.status_code in (200, 303, 403, 404, 422), (
                f"{path}: {answer.status_code} {answer.text}"
            )
            found[path] = answer.text
    return found


def test_a_viewer_key_sees_no_values(marked: tuple[Served, str]) -> None:
    host, workflow_id = marked
    seen = pages(host, VIEWER, workflow_id)
    assert [path for path, text in seen.items() if MARK in text] == []
    assert any(workflow_id in text for text in seen.values())
    shown = pages(host, SECRET, workflow_id)
    assert any(MARK in text for text in shown.values()), "an operator sees them"


def test_a_viewer_key_finds_nothing_by_values(marked: tuple[Served, str]) -> None:
    host, _ = marked
    for query in ({"error": MARK}, {"attribute": f"{MARK}:{MARK}"}):
        for key, status in ((VIEWER, 403), (SECRET, 200)):
            headers = {"apikey": key, "accept": "text/html"}
            answer = httpx.get(host.url + DASHBOARD, params=query, headers=headers, verify=NO_CERTIFICATES)
            assert answer.status_code == status, query


def test_whatever_json_there_is_is_a_value_or_is_known_not_to_be_one() -> None:
    """A column that comes later is thought of, too."""
    columns: list[Column] = [*itertools.chain.from_iterable(each.columns for each in RESOURCES), *WORKFLOW]
    loose = [each for each in columns if each.recorded or each.kind in (Kind.JSON, Kind.OBJECT)]
    assert [each.name for each in loose if each.value == (each.name in SHOWN)] == []
