"""Spans of observations, by OpenTelemetry's SDK. A replay tells no facts, so it makes no spans.

Each span is made when it is over, with its true times. So nothing is kept for a workflow meanwhile, and a
killed process leaves no unfinished spans. Parents are known by their ids, which follow from the workflow's id
(`core.tracing`), whether they exist already or not.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from typing import Any

from opentelemetry import context, trace
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import Decision
from opentelemetry.trace import Link, NonRecordingSpan, SpanContext, SpanKind, Status, StatusCode, TraceFlags
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from pydantic_core import from_json

from outlast.core import observations as facts
from outlast.core.clock import Clock
from outlast.core.tracing import Stay, span_id_of, trace_id_of
from outlast.observe.listeners import Listener

RETRIED_MAX = 10_000
"""How many steps' failed attempts are kept until the steps end."""

ATTEMPTS_MAX = 100
"""How many failed attempts of one step are kept."""

START = "start"
_HEADERS = ("traceparent", "tracestate")
_PROPAGATOR = TraceContextTextMapPropagator()
_random = random.SystemRandom()
_ids: ContextVar[tuple[int, int] | None] = ContextVar("outlast_span_ids", default=None)


class DerivedIds(IdGenerator):
    """Gives spans of workflows their derived ids, and other spans random ones."""

    def generate_trace_id(self) -> int:
        given = _ids.get()
        return _random.getrandbits(128) or 1 if given is None else given[0]

    def generate_span_id(self) -> int:
        given = _ids.get()
        return _random.getrandbits(64) or 1 if given is None else given[1]


class Spans(Listener):
    """A listener, and `core.tracing.Tracing`."""

    def __init__(self, provider: TracerProvider, clock: Clock) -> None:
        """`provider` must have DerivedIds."""
        self._provider = provider
        self._tracer = provider.get_tracer("outlast")
        self._clock = clock
        self._retried: dict[tuple[str, str], list[tuple[int, dict[str, Any]]]] = {}
        self.told = {
            facts.WorkflowEnqueued: self._enqueued,
            facts.WorkflowStarted: self._started,
            facts.WorkflowResumed: self._resumed,
            facts.WorkflowEnded: self._ended,
            facts.WorkflowStopped: self._stopped,
            facts.StepRetried: self._step_retried,
            facts.StepEnded: self._step_ended,
            facts.CallWaited: self._waited,
        }

    def enter_step(self, stay: Stay, step_id: str) -> None:
        """See core.tracing.Tracing. The step's span doesn't exist yet, but its id is known."""
        span_id = span_id_of(stay.workflow_id, step_id, stay.epoch)
        here = self._context_of(stay.workflow_id, stay.trace, span_id)
        context.attach(trace.set_span_in_context(NonRecordingSpan(here)))

    def close(self) -> None:
        """Send what is left. Takes some seconds at most."""
        self._provider.shutdown()

    # --- starts -------------------------------------------------------------------------------------------

    def _enqueued(self, fact: facts.WorkflowEnqueued) -> None:
        self._anchor(fact.workflow_id, fact.function, fact.trigger, fact.parent, fact.request)

    def _started(self, fact: facts.WorkflowStarted) -> None:
        if not fact.told_before:
            self._anchor(fact.workflow_id, fact.function, fact.trigger, fact.parent, fact.request)

    def _anchor(
        self, workflow_id: str, function: str, trigger: str, parent: str | None, request: str | None
    ) -> None:
        """The first span of a workflow. It ends at once, so that it is visible while the workflow runs."""
        links = []
        if (caller := _caller(request)) is not None:
            links.append(Link(caller, {"outlast.link": "caller"}))
        if parent is not None:
            anchor = self._context_of(parent, 0, span_id_of(parent, START))
            links.append(Link(anchor, {"outlast.link": "parent"}))
        attributes = {"outlast.trigger": trigger}
        self._make(workflow_id, function, 0, f"start {function}", (START,), None, 0.0, attributes, links)

    def _resumed(self, fact: facts.WorkflowResumed) -> None:
        """After a long time out of memory: the last span of one trace, and the first one of the next."""
        stay = fact.stay
        assert stay.former is not None
        workflow_id, function = stay.workflow_id, stay.function
        before = self._context_of(workflow_id, stay.former, _anchor_of(workflow_id, stay.former))
        after = self._context_of(workflow_id, stay.trace, _anchor_of(workflow_id, stay.trace))
        path = (START, *((stay.trace,) if stay.trace else ()))
        name = f"resume {function}"
        links = [Link(before, {"outlast.link": "before"})]
        self._make(workflow_id, function, stay.trace, name, path, None, 0.0, {}, links)
        links = [Link(after, {"outlast.link": "after"})]
        ends = ("ends", stay.trace)
        self._make(workflow_id, function, stay.former, f"goes on {function}", ends, before, 0.0, {}, links)

    # --- stays and steps ----------------------------------------------------------------------------------

    def _ended(self, fact: facts.WorkflowEnded) -> None:
        failed = None if fact.status == "SUCCESS" else fact.status
        self._run(fact.stay, fact.duration_s, {"outlast.status": fact.status}, failed)

    def _stopped(self, fact: facts.WorkflowStopped) -> None:
        self._run(fact.stay, fact.duration_s, {"outlast.left": fact.reason}, None)

    def _run(
        self, stay: Stay | None, duration_s: float, attributes: Mapping[str, Any], failed: str | None
    ) -> None:
        if stay is None:
            return
        parent = self._context_of(stay.workflow_id, stay.trace, _anchor_of(stay.workflow_id, stay.trace))
        attributes = {"outlast.epoch": stay.epoch, **attributes}
        self._make(
            stay.workflow_id,
            stay.function,
            stay.trace,
            f"run {stay.function}",
            ("run", stay.epoch),
            parent,
            duration_s,
            attributes,
            failed=failed,
        )

    def _step_retried(self, fact: facts.StepRetried) -> None:
        if len(self._retried) >= RETRIED_MAX:
            self._retried.pop(next(iter(self._retried)))
        attempts = self._retried.setdefault((fact.workflow_id, fact.step_id), [])
        if len(attempts) < ATTEMPTS_MAX:
            told = {"outlast.attempt": fact.attempt, "exception.message": fact.error}
            attempts.append((self._now_ns(), told))

    def _step_ended(self, fact: facts.StepEnded) -> None:
        retried = self._retried.pop((fact.workflow_id, fact.step_id), ())
        stay = fact.stay
        if stay is None:
            return
        parent = self._context_of(
            stay.workflow_id, stay.trace, span_id_of(stay.workflow_id, "run", stay.epoch)
        )
        self._make(
            stay.workflow_id,
            stay.function,
            stay.trace,
            fact.name,
            (fact.step_id, stay.epoch),
            parent,
            fact.duration_s,
            {"outlast.step_id": fact.step_id, "outlast.kind": fact.kind, "outlast.attempts": fact.attempts},
            failed=None if fact.succeeded else "the step failed",
            events=retried,
        )

    def _waited(self, fact: facts.CallWaited) -> None:
        """A caller waited: a span in the caller's own trace, sampled if that trace is."""
        parent = _PROPAGATOR.extract(dict(fact.headers))
        caller = trace.get_current_span(parent).get_span_context()
        if not caller.is_valid:
            return
        anchor = self._context_of(fact.workflow_id, 0, span_id_of(fact.workflow_id, START))
        end_ns = self._now_ns()
        span = self._tracer.start_span(
            f"call {fact.function}",
            parent,
            SpanKind.SERVER,
            {"outlast.workflow_id": fact.workflow_id},
            [Link(anchor, {"outlast.link": "workflow"})],
            end_ns - _ns(fact.duration_s),
        )
        span.end(end_ns)

    # --- how they are made --------------------------------------------------------------------------------

    def _make(
        self,
        workflow_id: str,
        function: str,
        number: int,
        name: str,
        path: tuple[str | int, ...],
        parent: SpanContext | None,
        duration_s: float,
        attributes: Mapping[str, Any],
        links: Sequence[Link] = (),
        failed: str | None = None,
        events: Sequence[tuple[int, dict[str, Any]]] = (),
    ) -> None:
        """A span that is over now, in one of a workflow's traces."""
        end_ns = self._now_ns()
        around = context.Context()
        if parent is not None:
            around = trace.set_span_in_context(NonRecordingSpan(parent), around)
        known = {"outlast.workflow_id": workflow_id, "outlast.function": function, **attributes}
        token = _ids.set((trace_id_of(workflow_id, number), span_id_of(workflow_id, *path)))
        try:
            span = self._tracer.start_span(
                name, around, attributes=known, links=links, start_time=end_ns - _ns(duration_s)
            )
        finally:
            _ids.reset(token)
        for at_ns, told in events:
            span.add_event("attempt failed", told, at_ns)
        if failed is not None:
            span.set_status(Status(StatusCode.ERROR, failed))
        span.end(end_ns)

    def _context_of(self, workflow_id: str, number: int, span_id: int) -> SpanContext:
        """The context of a span that is made elsewhere, or later. It is sampled if its trace's root is."""
        trace_id = trace_id_of(workflow_id, number)
        decide = self._provider.sampler.should_sample
        # guard: silenced-by-the-caller = decide(None, trace_id, START).decision
        decision = decide(context.Context(), trace_id, START).decision
        sampled = decision is Decision.RECORD_AND_SAMPLE
        flags = TraceFlags(TraceFlags.SAMPLED if sampled else TraceFlags.DEFAULT)
        return SpanContext(trace_id, span_id, is_remote=True, trace_flags=flags)

    def _now_ns(self) -> int:
        return _ns(self._clock.now_s())


def provider_of(*processors: SpanProcessor) -> TracerProvider:
    """A provider that gives spans of workflows their ids.

    Everything else follows from the variables OTEL_*.
    """
    provider = TracerProvider(id_generator=DerivedIds(), shutdown_on_exit=False)
    for each in processors:
        provider.add_span_processor(each)
    return provider


def _ns(seconds: float) -> int:
    return round(seconds * 1e9)


def _anchor_of(workflow_id: str, number: int) -> int:
    return span_id_of(workflow_id, START, *((number,) if number else ()))


def _caller(request: str | None) -> SpanContext | None:
    """The caller's span: from the stored request, or the current one if a function starts the workflow."""
    if request is None:
        found = trace.get_current_span().get_span_context()
    else:
        headers = {name: value for name, value in from_json(request)["headers"] if name in _HEADERS}
        found = trace.get_current_span(
            _PROPAGATOR.extract(headers, context=context.Context())
        ).get_span_context()
    return found if found.is_valid else None
