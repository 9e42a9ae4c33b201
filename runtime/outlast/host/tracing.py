"""Whether and where spans are exported, by OpenTelemetry's own variables. Only then is the SDK imported."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from outlast.core.clock import Clock
from outlast.core.errors import OutlastError

if TYPE_CHECKING:
    from outlast.observe.tracing import Spans

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_KNOWN = ("otlp", "console", "none")


class TracesRefused(OutlastError):
    """Traces are asked for in a way that isn't possible; the message is one line with the remedy."""

    code = "start_refused"


def exporters_of(environ: Mapping[str, str]) -> tuple[str, ...]:
    """The exporters that the variables ask for; none by default. Raises TracesRefused."""
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return ()
    asked = environ.get("OTEL_TRACES_EXPORTER", "").strip()
    if not asked:
        return ("otlp",) if any(environ.get(each) for each in _ENDPOINTS) else ()
    names = tuple(each.strip() for each in asked.split(","))
    for each in names:
        if each not in _KNOWN:
            raise TracesRefused(f"OTEL_TRACES_EXPORTER={each}: use one of {', '.join(_KNOWN)}")
    return tuple(each for each in names if each != "none")


def open_traces(clock: Clock) -> Spans | None:
    """Return the maker of spans; None if no variable asks for spans. Raises TracesRefused."""
    names = exporters_of(os.environ)
    if not names:
        return None
    try:
        from opentelemetry import trace
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        from outlast.observe.tracing import Spans, provider_of

        exporters = [_exporter(each) for each in names]
    except ImportError as error:
        raise TracesRefused(
            f"variables OTEL_* ask for traces, and {error.name} is not installed: "
            "pip install 'outlast[otel]', or set OTEL_SDK_DISABLED=true"
        ) from error
    provider = provider_of(*map(BatchSpanProcessor, exporters))
    if isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
        trace.set_tracer_provider(provider)  # functions' own spans go the same way
    return Spans(provider, clock)


def _exporter(name: str) -> Any:
    if name == "console":
        from opentelemetry.sdk.trace.export import ConsoleSpanExporter

        return ConsoleSpanExporter()
    protocol = next((os.environ[each] for each in _PROTOCOLS if os.environ.get(each)), "http/protobuf")
    if protocol != "http/protobuf":
        text = f"OTEL_EXPORTER_OTLP_PROTOCOL={protocol}: set it to http/protobuf, or unset it"
        raise TracesRefused(f"{text}; the collector's port for that is 4318 as a rule")
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    return OTLPSpanExporter()
