"""Traces of real hosts, sent over OTLP to a collector of the test's own; and the logs that name them."""

from __future__ import annotations

import gzip
import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import psycopg
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from outlast.core.tracing import span_id_of, trace_id_of
from outlast.host.tracing import TracesRefused, exporters_of
from tests.databases import new_database
from tests.hosts import SECRET, Hosts, ask, until

TRACE = "0af7651916cd43dd8448eb211c80319c"
CALLER = f"00-{TRACE}-b7ad6b7169203331-01"
FUNCTIONS = """
import logging

from outlast import context, step, workflow


@step
async def greet(name: str) -> str:
    print("printed", name)
    logging.getLogger("mine").warning("logged %s", name)
    context().logger.warning("told %s", name)
    return f"hello {name}"


@workflow
async def greeting(name: str) -> str:
    return await greet(name)
"""

PAGE = (Path(__file__).parents[2] / "docs" / "tracing.md").read_text()
(EXAMPLE,) = re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
PAYS = """

from outlast import workflow


@workflow
async def paying() -> str:
    return await charge(100)
"""


class Collector:
    """Takes what OTLP exporters post to it."""

    def __init__(self) -> None:
        collector = self
        self.spans: list[dict[str, Any]] = []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                if self.headers.get("content-encoding") == "gzip":
                    body = gzip.decompress(body)
                collector.take(body)
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Nothing on standard error."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self._thread = threading.Thread(target=self.server.serve_forever)
        self._thread.start()

    def take(self, body: bytes) -> None:
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            service = {each.key: each.value.string_value for each in resource.resource.attributes}
            for scope in resource.scope_spans:
                self.spans += [
                    {
                        "name": each.name,
                        "trace": each.trace_id.hex(),
                        "id": each.span_id.hex(),
                        "parent": each.parent_span_id.hex(),
                        "links": [link.trace_id.hex() for link in each.links],
                        "service": service["service.name"],
                    }
                    for each in scope.spans
                ]

    def of(self, trace: str) -> dict[str, dict[str, Any]]:
        return {each["name"]: each for each in list(self.spans) if each["trace"] == trace}

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self._thread.join()


@pytest.fixture
def collector() -> Iterator[Collector]:
    collector = Collector()
    yield collector
    collector.close()


@pytest.fixture
def traced(postgres: str, tmp_path: Path) -> Iterator[tuple[Hosts, str]]:
    (tmp_path / "functions").mkdir()
    (tmp_path / "functions" / "greeting.py").write_text(FUNCTIONS)
    (tmp_path / "functions" / "paying.py").write_text(EXAMPLE + PAYS)
    with new_database(postgres) as database:
        hosts = Hosts(tmp_path, tmp_path / "functions", database)
        yield hosts, database
        hosts.close()


def trace_of(workflow_id: str) -> str:
    return f"{trace_id_of(workflow_id, 0):032x}"


def test_a_host_sends_its_spans_and_its_log_names_them(
    traced: tuple[Hosts, str], collector: Collector
) -> None:
    hosts, database = traced
    host = hosts.start(
        OTEL_EXPORTER_OTLP_ENDPOINT=collector.url,
        OTEL_SERVICE_NAME="shop",
        OTEL_BSP_SCHEDULE_DELAY="50",
        OUTLAST_LOG_FORMAT="json",
    )
    headers = {"apikey": SECRET, "idempotency-key": "k", "traceparent": CALLER}
    url = f"{host.url}/functions/v1/greeting"
    answer = ask("POST", url, json={"name": "Ada"}, headers=headers, timeout=20)
    assert answer.json() == "hello Ada"
    workflow_id = answer.headers["workflow-id"]
    own = trace_of(workflow_id)
    until(lambda: len(collector.of(own)) == 3 and collector.of(TRACE), "the spans")
    spans = collector.of(own)
    assert spans.keys() == {"start greeting", "run greeting", "greet"}
    assert spans["start greeting"]["links"] == [TRACE]
    assert spans["start greeting"]["id"] == f"{span_id_of(workflow_id, 'start'):016x}"
    assert spans["run greeting"]["parent"] == spans["start greeting"]["id"]
    assert spans["greet"]["parent"] == spans["run greeting"]["id"]
    waited = collector.of(TRACE)["call greeting"]
    assert (waited["parent"], waited["links"]) == ("b7ad6b7169203331", [own])
    assert {each["service"] for each in collector.spans} == {"shop"}

    lines = [json.loads(line) for line in host.said().splitlines() if line.startswith("{")]
    named = [each for each in lines if each.get("trace_id") == own]
    assert {each["message"].rpartition("] ")[2] for each in named} >= {"logged Ada", "told Ada"}
    for each in named:
        assert (each["workflow_id"], each["step"], each["attempt"]) == (workflow_id, "greet", 1)

    answer = ask("POST", f"{host.url}/functions/v1/paying", headers={"apikey": SECRET}, timeout=20)
    paid = trace_of(answer.headers["workflow-id"])
    until(lambda: len(collector.of(paid)) == 4, "the spans of the page's example")
    assert collector.of(paid)["talk to the bank"]["parent"] == collector.of(paid)["charge"]["id"]

    with psycopg.connect(database, autocommit=True) as connection:
        ((by_sql,),) = connection.execute("select outlast.start('greeting', '{\"name\": \"Bo\"}', 's')")
    until(lambda: len(collector.of(trace_of(by_sql))) == 3, "the spans of what SQL started")
    assert collector.of(trace_of(by_sql))["start greeting"]["links"] == []


@pytest.mark.slow
def test_without_a_collector_all_goes_on(traced: tuple[Hosts, str]) -> None:
    hosts, _ = traced
    host = hosts.start(OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9", OTEL_BSP_SCHEDULE_DELAY="50")
    assert host.post("greeting", "k", {"name": "Ada"}).json() == "hello Ada"
    host.signal(15)
    assert host.ended() == 0


def test_what_cannot_be_sent_ends_the_start_with_a_remedy(traced: tuple[Hosts, str]) -> None:
    hosts, _ = traced
    host = hosts.launch(OTEL_EXPORTER_OTLP_ENDPOINT="http://c:4317", OTEL_EXPORTER_OTLP_PROTOCOL="grpc")
    assert host.ended() == 1
    assert "OTEL_EXPORTER_OTLP_PROTOCOL=grpc: set it to http/protobuf" in host.said()
    assert "Traceback" not in host.said()


def test_the_standard_variables_say_whether_there_are_traces() -> None:
    assert exporters_of({}) == ()
    assert exporters_of({"OTEL_SERVICE_NAME": "shop"}) == ()
    assert exporters_of({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}) == ("otlp",)
    assert exporters_of({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c/t"}) == ("otlp",)
    assert exporters_of({"OTEL_TRACES_EXPORTER": "otlp, console"}) == ("otlp", "console")
    for off in ({"OTEL_TRACES_EXPORTER": "none"}, {"OTEL_SDK_DISABLED": "TRUE"}):
        assert exporters_of({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", **off}) == ()
    with pytest.raises(TracesRefused, match="OTEL_TRACES_EXPORTER=zipkin: use one of otlp, console, none"):
        exporters_of({"OTEL_TRACES_EXPORTER": "zipkin"})
