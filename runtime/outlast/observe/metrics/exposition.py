"""A scrape: what this process and its siblings have counted, and what the database says, for Prometheus.

The client library is imported at the first scrape: who is never asked pays nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING

from outlast.core.clock import monotonic
from outlast.core.ports import Unreachable
from outlast.core.records import Measures
from outlast.observe.metrics import families as f
from outlast.observe.metrics.tallies import Labels, Numbers, Tallies, sum_up

if TYPE_CHECKING:
    from prometheus_client.core import Metric

KEPT_S = 5.0
"""So long what the database said is told again: scrapes that come together ask it once."""

READ_S_MAX = 3.0

Read = Callable[[], Awaitable[Measures]]


class Exposition:
    """The metrics of one host: of this process, and of all workers beside it."""

    def __init__(self, tallies: Tallies, read: Read, version: str, siblings: Sequence[Numbers] = ()) -> None:
        """`read` asks the database; it raises Unreachable."""
        self._tallies = tallies
        self._read = read
        self._version = version
        self._siblings = siblings
        self._reading: asyncio.Task[Measures | None] | None = None
        self._read_at = 0.0

    async def text(self, accept: str) -> tuple[str, bytes]:
        """The content type that suits a request's `Accept`, and the metrics in it."""
        measures = await self._measures()
        # With many series it takes a while, which the event loop hasn't.
        return await asyncio.to_thread(self._encode, accept, measures)

    def _encode(self, accept: str, measures: Measures | None) -> tuple[str, bytes]:
        from prometheus_client import CollectorRegistry
        from prometheus_client.exposition import choose_encoder

        registry = CollectorRegistry(auto_describe=False)
        registry.register(_Given([*self._write_counts(), *self._write_measures(measures)]))
        encode, content_type = choose_encoder(accept)
        return content_type, encode(registry)

    async def _measures(self) -> Measures | None:
        """What the database said a moment ago, or says now; None if it doesn't answer."""
        if self._reading is None or (self._reading.done() and monotonic() - self._read_at > KEPT_S):
            self._read_at = monotonic()
            self._reading = asyncio.get_running_loop().create_task(self._ask())
        return await asyncio.shield(self._reading)

    async def _ask(self) -> Measures | None:
        try:
            async with asyncio.timeout(READ_S_MAX):
                return await self._read()
        except (Unreachable, TimeoutError):
            return None

    def _write_counts(self) -> Iterator[Metric]:
        # guard: siblings-not-summed = []
        siblings = [each.series() for each in self._siblings]
        summed = sum_up([self._tallies.series(), *siblings])
        for family in f.COUNTED:
            yield _metric(family, summed[family.name])

    def _write_measures(self, measures: Measures | None) -> Iterator[Metric]:
        yield _metric(f.BUILD, {(self._version,): [1.0]})
        yield _metric(f.DB_UP, {(): [float(measures is not None)]})
        if measures is None:
            return
        yield _metric(f.QUEUE_DEPTH, _bound({(name,): depth for name, depth, _ in measures.queues}))
        oldest: dict[Labels, float] = {(name,): oldest_s for name, _, oldest_s in measures.queues}
        yield _metric(f.QUEUE_OLDEST, _bound(oldest, most=True))
        yield _metric(f.OPEN, _bound({(name, state): count for name, state, count in measures.open}))
        yield _metric(f.CONNECTIONS, _bound({(state,): count for state, count in measures.connections}))
        yield _metric(f.HELD, _bound({(name, reason): count for name, reason, count in measures.held}))


class _Given:
    """A collector of what was made before."""

    def __init__(self, metrics: list[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> list[Metric]:
        """See prometheus_client.registry.Collector."""
        return self._metrics


def _bound(series: dict[Labels, float], *, most: bool = False) -> dict[Labels, list[float]]:
    """So many series as may be; the rest, added up or the `most` of it, as `other`."""
    items = list(series.items())
    kept = {labels: [value] for labels, value in items[: f.SERIES_MAX - 1]}
    rest = items[f.SERIES_MAX - 1 :]
    if rest:
        values = [value for _, value in rest]
        kept[(f.OTHER,) * len(rest[0][0])] = [max(values) if most else sum(values)]
    return kept


def _metric(family: f.Family, series: dict[Labels, list[float]]) -> Metric:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
    from prometheus_client.utils import floatToGoString

    if family.kind == "counter":
        counter = CounterMetricFamily(family.name.removesuffix("_total"), family.help, labels=family.labels)
        for labels, (value,) in series.items():
            counter.add_metric(labels, value)
        return counter
    if family.kind == "gauge":
        gauge = GaugeMetricFamily(family.name, family.help, labels=family.labels)
        for labels, (value,) in series.items():
            gauge.add_metric(labels, value)
        return gauge
    histogram = HistogramMetricFamily(family.name, family.help, labels=family.labels)
    bounds = [*map(floatToGoString, family.buckets), "+Inf"]
    for labels, values in series.items():
        buckets = list(zip(bounds, accumulate(values[:-1]), strict=True))
        histogram.add_metric(labels, buckets, values[-1])
    return histogram
