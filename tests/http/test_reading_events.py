"""Events that handlers and workflows read, over a socket and over two instances."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote

import pytest

from tests.hosts import until
from tests.http.conftest import OPEN, Start
from tests.http.harness import Served, fresh_key

PROGRESS = [{"done": 1, "of": 2}, {"done": 2, "of": 2}]


@pytest.mark.parametrize("path", ["reading", "reading/reading_blocking"])
def test_a_handler_reads_to_the_end(host: Served, path: str) -> None:
    key = fresh_key()
    workflow_id = host.begin("telling", key)
    with ThreadPoolExecutor(1) as others:
        answer = others.submit(host.client.get, f"/functions/v1/{path}?id={quote(workflow_id)}")
        assert not answer.done()
        host.open(key)
        told = answer.result(50).json()
    assert told["told"] == PROGRESS
    assert told.get("first") in (None, *PROGRESS)


def test_a_workflow_reads_what_another_instance_runs_over_the_end_of_its_own(start_host: Start) -> None:
    """Its host is killed while it waits, and the commit of the other one wakes it in a third."""
    writer = start_host()
    key = fresh_key()
    workflow_id = writer.begin("telling", key)
    reader = start_host(OPEN, beside=writer)
    answer = reader.call("reading/recorded", {"workflow_id": workflow_id}, key=key, prefer="respond-async")
    assert answer.status_code == 202
    reader_id = answer.headers["workflow-id"]

    def taken() -> int:
        ((count,),) = writer.query(
            "select count(*) from outlast.operation_outputs where workflow_id = %s and kind = 'event'",
            reader_id,
        )
        return int(count)

    until(lambda: taken() == 1, "the first event to be taken")
    reader.process.kill()
    writer.open(key)
    shown = writer.admin.get(f"/workflows/v1/{quote(reader_id, safe=':')}?wait=50").json()
    assert (shown["status"], shown["output"]) == ("SUCCESS", PROGRESS)
    assert taken() == 3
