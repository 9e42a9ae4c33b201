"""The spans that a workflow leaves, by the real SDK: across replays, crashes, long sleeps and parents."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from datetime import timedelta

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from outlast import context, sleep, start, step, workflow
from outlast.core.clock import Clock
from outlast.core.observations import CallWaited, WorkflowEnded, WorkflowStarted
from outlast.core.tracing import Stay, span_id_of, trace_id_of
from outlast.observe.tracing import Spans, provider_of
from tests.engine.harness import Bench, engine_on

CALLER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0{sampled}"
CALLERS_TRACE = 0x0AF7651916CD43DD8448EB211C80319C
tries = 0
gates: list[asyncio.Event] = []


@step(max_attempts=3, backoff=0.001)
async def flaky() -> int:
    global tries
    tries += 1
    if tries < 3:
        raise OSError(f"try {tries}")
    return tries


@step
async def say(text: str) -> str:
    with trace.get_tracer_provider().get_tracer("user").start_as_current_span("theirs"):
        return text


@step
async def fail() -> None:
    raise ValueError("no")


@step
async def where() -> list[str | None]:
    return [context().trace_id, context().step]


@step
async def hold() -> None:
    gates[-1].set()
    await asyncio.Event().wait()


@workflow
async def works() -> int:
    await say("a")
    return await flaky()


@workflow
async def fails() -> None:
    await fail()


@workflow
async def held() -> None:
    await say("a")
    if gates:
        await hold()


@workflow
async def dozes(first_s: float) -> list[str | None]:
    await say("a")
    await sleep(timedelta(seconds=first_s))
    await say("b")
    await sleep(timedelta(seconds=30))
    return await where()


@workflow
async def parent() -> int:
    return await (await start(works)).result()


class Told:
    """What was exported."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        self.provider = provider_of(SimpleSpanProcessor(self.exporter))
        self.spans = Spans(self.provider, Clock())

    def all(self) -> Sequence[ReadableSpan]:
        return self.exporter.get_finished_spans()

    def one(self, name: str) -> ReadableSpan:
        (found,) = [each for each in self.all() if each.name == name]
        return found

    def names(self, trace_id: int | None = None) -> list[str]:
        return [each.name for each in self.all() if trace_id in (None, trace_of(each))]


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Told:
    global tries
    tries = 0
    gates.clear()
    told = Told()
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: told.provider)
    return told


def parent_of(span: ReadableSpan) -> int | None:
    return None if span.parent is None else span.parent.span_id


def id_of(span: ReadableSpan) -> int:
    found = span.get_span_context()
    assert found is not None
    return found.span_id


def trace_of(span: ReadableSpan) -> int:
    found = span.get_span_context()
    assert found is not None
    return found.trace_id


def links_of(span: ReadableSpan) -> dict[str, tuple[int, int]]:
    return {
        str(each.attributes["outlast.link"]): (each.context.trace_id, each.context.span_id)
        for each in span.links
        if each.attributes
    }


async def test_a_workflow_is_an_anchor_a_run_and_its_steps(database: str, told: Told) -> None:
    async with engine_on(database, works, spans=told.spans) as bench:
        workflow_id = await bench.start(works)
        assert told.names() == ["start works"]  # before anything of it is over
        assert await bench.result(workflow_id) == 3
        await bench.until(lambda: "run works" in told.names())
    anchor, run, say_, flaky_, theirs = map(told.one, ("start works", "run works", "say", "flaky", "theirs"))
    assert {trace_of(each) for each in told.all()} == {trace_id_of(workflow_id, 0)}
    assert (id_of(anchor), parent_of(anchor)) == (span_id_of(workflow_id, "start"), None)
    assert (id_of(run), parent_of(run)) == (span_id_of(workflow_id, "run", 1), id_of(anchor))
    assert (id_of(say_), parent_of(say_)) == (span_id_of(workflow_id, "1", 1), id_of(run))
    assert parent_of(flaky_) == id_of(run)
    assert parent_of(theirs) == id_of(say_)  # what a step itself traces is a part of it
    assert [dict(each.attributes or {}) for each in flaky_.events] == [
        {"outlast.attempt": n, "exception.message": f"OSError: try {n}"} for n in (1, 2)
    ]
    assert flaky_.attributes is not None
    assert flaky_.attributes["outlast.attempts"] == 3
    assert anchor.attributes is not None
    assert anchor.attributes["outlast.workflow_id"] == workflow_id
    assert run.start_time is not None
    assert run.end_time is not None
    assert flaky_.end_time is not None
    assert run.start_time <= flaky_.end_time <= run.end_time
    assert anchor.start_time == anchor.end_time


async def test_what_fails_is_marked(database: str, told: Told) -> None:
    async with engine_on(database, fails, spans=told.spans) as bench:
        await bench.failure(await bench.start(fails))
        await bench.until(lambda: "run fails" in told.names())
    assert told.one("fail").status.status_code is StatusCode.ERROR
    assert told.one("run fails").status.description == "ERROR"


async def test_a_replay_makes_no_span(database: str, told: Told) -> None:
    gates[:] = [asyncio.Event()]
    async with engine_on(database, held, spans=told.spans) as bench:
        workflow_id = await bench.start(held)
        await gates[-1].wait()
        await bench.abandon()
    gates.clear()
    other = Told()
    async with engine_on(database, held, spans=other.spans) as bench:
        # The code has changed beneath: what was held is no more called.
        await bench.result(workflow_id)
        await bench.until(lambda: "run held" in other.names())
    assert other.names() == ["run held"]
    assert parent_of(other.one("run held")) == id_of(told.one("start held"))
    assert trace_of(other.one("run held")) == trace_id_of(workflow_id, 0)


async def sleep_through(bench: Bench, told: Told, first_s: float) -> tuple[str, list[str | None]]:
    workflow_id = await bench.start(dozes, first_s)
    assert await bench.engine.wait(workflow_id, 86_400) is not None
    result = await bench.result(workflow_id)
    await bench.until(lambda: told.names().count("run dozes") == 3)
    return workflow_id, result


async def test_after_a_long_sleep_a_new_trace_begins_linked_both_ways(database: str, told: Told) -> None:
    async with engine_on(database, dozes, spans=told.spans, lease_ttl_s=3_600, tick_s=60) as bench:
        workflow_id, (seen, name) = await sleep_through(bench, told, 3600)
    before, after = trace_id_of(workflow_id, 0), trace_id_of(workflow_id, 2)
    assert told.names(before) == ["start dozes", "theirs", "say", "run dozes", "goes on dozes"]
    assert told.names(after) == ["resume dozes", "theirs", "say", "run dozes", "where", "run dozes"]
    assert len(told.all()) == len(told.names(before)) + len(told.names(after))
    resumed, left = told.one("resume dozes"), told.one("goes on dozes")
    assert parent_of(resumed) is None
    assert links_of(resumed) == {"before": (before, id_of(told.one("start dozes")))}
    assert links_of(left) == {"after": (after, id_of(resumed))}
    runs = [each for each in told.all() if each.name == "run dozes"]
    assert [parent_of(each) for each in runs[1:]] == [id_of(resumed)] * 2
    assert (seen, name) == (f"{after:032x}", "where")


async def test_a_short_sleep_stays_in_its_trace(database: str, told: Told) -> None:
    async with engine_on(database, dozes, spans=told.spans, lease_ttl_s=3_600, tick_s=60) as bench:
        workflow_id, _ = await sleep_through(bench, told, 500)
    assert {trace_of(each) for each in told.all()} == {trace_id_of(workflow_id, 0)}


async def test_a_child_has_a_trace_of_its_own_with_a_link_to_its_parent(database: str, told: Told) -> None:
    async with engine_on(database, parent, works, spans=told.spans) as bench:
        workflow_id = await bench.start(parent)
        await bench.result(workflow_id)
    child = told.one("start works")
    assert trace_of(child) != trace_id_of(workflow_id, 0)
    assert links_of(child)["parent"] == (trace_id_of(workflow_id, 0), span_id_of(workflow_id, "start"))


@pytest.mark.parametrize("sampled", [0, 1])
def test_a_caller_is_a_link_and_silences_nothing(sampled: int, told: Told) -> None:
    traceparent = CALLER.format(sampled=sampled)
    request = json.dumps({"headers": [["traceparent", traceparent], ["accept", "*/*"]]})
    told.spans(WorkflowStarted("w", "works", "call", None, request))
    assert links_of(told.one("start works")) == {"caller": (CALLERS_TRACE, 0xB7AD6B7169203331)}
    assert trace_of(told.one("start works")) == trace_id_of("w", 0)

    told.spans(CallWaited("w", "works", (("traceparent", traceparent),), 0.5))
    waits = [each for each in told.all() if each.name == "call works"]
    assert len(waits) == sampled  # in the caller's trace the caller decides
    for each in waits:
        assert trace_of(each) == CALLERS_TRACE
        assert parent_of(each) == 0xB7AD6B7169203331
        assert links_of(each) == {"workflow": (trace_id_of("w", 0), span_id_of("w", "start"))}
        assert each.start_time is not None
        assert (each.end_time or 0) - each.start_time == 500_000_000


@pytest.mark.parametrize(
    "traceparent", ["", "nonsense", "00-0-0-01", "00-" + "0" * 32 + "-" + "0" * 16 + "-01"]
)
def test_a_caller_without_a_readable_trace_is_none(traceparent: str, told: Told) -> None:
    request = json.dumps({"headers": [["traceparent", traceparent]]})
    told.spans(WorkflowStarted("w", "works", "call", None, request))
    told.spans(CallWaited("w", "works", (("traceparent", traceparent),), 0.5))
    assert [(each.name, list(each.links)) for each in told.all()] == [("start works", [])]


async def test_what_is_not_sampled_is_not_sampled_as_a_whole(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_traceidratio")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", "0.5")
    told = Told()
    async with engine_on(database, fails, spans=told.spans) as bench:
        ids = [await bench.start(fails) for _ in range(20)]
        for each in ids:
            await bench.failure(each)
        await bench.until(lambda: told.names().count("run fails") == told.names().count("start fails"))
    traces = [trace_of(each) for each in told.all()]
    assert {traces.count(each) for each in traces} == {3}  # start, step, run
    assert 0 < len(set(traces)) < 20


def test_who_is_not_sampled_where_it_is_told_silences_nothing(told: Told) -> None:
    """What a handler runs in, perhaps."""
    unsampled = trace.SpanContext(1, 1, is_remote=True)
    stay = Stay("w", "works", 1)
    with trace.use_span(trace.NonRecordingSpan(unsampled)):
        told.spans(WorkflowStarted("w", "works", "call"))
        told.spans(WorkflowEnded("w", "works", "SUCCESS", 0.1, stay=stay))
    assert told.names() == ["start works", "run works"]
    assert links_of(told.one("start works")) == {"caller": (1, 1)}
