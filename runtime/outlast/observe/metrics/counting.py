"""An observer that counts: which fact goes into which family. Each call passes it, so it is quick."""

from __future__ import annotations

from bisect import bisect_left
from typing import TypeVar

from outlast.core import observations as facts
from outlast.observe.listeners import Listener
from outlast.observe.metrics import families as f
from outlast.observe.metrics.tallies import Tallies

_ACTIVE, _DURATION, _STEP, _COMMIT = f.ACTIVE.buckets, f.DURATION.buckets, f.STEP.buckets, f.COMMIT.buckets
# The sum of a histogram stands behind its buckets and the infinite one.
_ACTIVE_SUM, _DURATION_SUM, _STEP_SUM, _COMMIT_SUM = (
    len(each) + 1 for each in (_ACTIVE, _DURATION, _STEP, _COMMIT)
)
KEPT_MAX = 2 * f.SERIES_MAX
"""So many places are remembered; what has no series of its own would fill the memory else."""

K = TypeVar("K")
V = TypeVar("V")


class Counting(Listener):
    """Counts facts into `tallies`."""

    def __init__(self, tallies: Tallies) -> None:
        self.tallies = tallies
        self._floats = tallies.floats
        self._commit = tallies.place_of(f.COMMIT, ())
        self._depth = tallies.place_of(f.DEPTH, ())
        # Of what each call brings: the places of all series that it counts in, by what tells them apart.
        self._starts: dict[tuple[str, str], int] = {}
        self._ends: dict[tuple[str, str], tuple[int, int, int]] = {}
        self._steps: dict[tuple[str, str, bool], tuple[int, int]] = {}
        self.told = {
            facts.WorkflowStarted: self._started,
            facts.WorkflowEnded: self._ended,
            facts.WorkflowStopped: self._stopped,
            facts.StepEnded: self._step,
            facts.StepRetried: self._retried,
            facts.WorkflowsClaimed: self._claimed,
            facts.ScheduleTicked: self._ticked,
            facts.JournalCommitted: self._committed,
            facts.InstanceLost: self._lost,
            facts.LoopLooked: self._looked,
        }

    def _started(self, fact: facts.WorkflowStarted) -> None:
        key = (fact.function, fact.trigger)
        place = self._starts.get(key)
        if place is None:
            place = _keep(self._starts, key, self.tallies.place_of(f.STARTED, key))
        self._floats[place] += 1.0

    def _ended(self, fact: facts.WorkflowEnded) -> None:
        key = (fact.function, fact.status)
        places = self._ends.get(key)
        if places is None:
            place_of, function = self.tallies.place_of, (fact.function,)
            places = place_of(f.ENDED, key), place_of(f.ACTIVE, function), place_of(f.DURATION, function)
            _keep(self._ends, key, places)
        ended, active, duration = places
        floats, active_s = self._floats, fact.duration_s
        age_s = active_s if fact.age_s is None else max(0.0, fact.age_s)
        floats[ended] += 1.0
        floats[active + bisect_left(_ACTIVE, active_s)] += 1.0
        floats[active + _ACTIVE_SUM] += active_s
        floats[duration + bisect_left(_DURATION, age_s)] += 1.0
        floats[duration + _DURATION_SUM] += age_s

    def _stopped(self, fact: facts.WorkflowStopped) -> None:
        self.tallies.observe(f.ACTIVE, fact.duration_s, (fact.function,))

    def _step(self, fact: facts.StepEnded) -> None:
        key = (fact.function, fact.name, fact.succeeded)
        places = self._steps.get(key)
        if places is None:
            place_of, labels = self.tallies.place_of, (fact.function, fact.name)
            outcome = "success" if fact.succeeded else "error"
            places = place_of(f.STEP, (*labels, outcome)), place_of(f.ATTEMPTS, labels)
            _keep(self._steps, key, places)
        step, attempts = places
        floats, took_s = self._floats, fact.duration_s
        floats[step + bisect_left(_STEP, took_s)] += 1.0
        floats[step + _STEP_SUM] += took_s
        floats[attempts] += 1.0

    def _retried(self, fact: facts.StepRetried) -> None:
        self.tallies.add(f.ATTEMPTS, (fact.function, fact.name))

    def _claimed(self, fact: facts.WorkflowsClaimed) -> None:
        for lag_s, queue in zip(fact.lags_s, fact.queues, strict=False):
            if queue:
                self.tallies.observe(f.QUEUE_WAIT, lag_s, (queue,))
            else:
                self.tallies.observe(f.CLAIM_LAG, lag_s)

    def _ticked(self, fact: facts.ScheduleTicked) -> None:
        self.tallies.add(f.TICKS, (fact.schedule, fact.outcome))
        if fact.lag_s is not None:
            self.tallies.observe(f.TICK_LAG, max(0.0, fact.lag_s))

    def _committed(self, fact: facts.JournalCommitted) -> None:
        floats, took_s = self._floats, fact.took_s
        floats[self._commit + bisect_left(_COMMIT, took_s)] += 1.0
        floats[self._commit + _COMMIT_SUM] += took_s
        floats[self._depth] = fact.depth

    def _lost(self, fact: facts.InstanceLost) -> None:
        if fact.recovered:
            self.tallies.add(f.RECOVERIES, (fact.reason,), fact.recovered)
        if fact.exhausted:
            self.tallies.add(f.RECOVERIES, ("exhausted",), len(fact.exhausted))

    def _looked(self, fact: facts.LoopLooked) -> None:
        self.tallies.observe(f.LOOP_LAG, fact.lag_s)


def _keep(places: dict[K, V], key: K, value: V) -> V:
    if len(places) >= KEPT_MAX:
        places.clear()
    places[key] = value
    return value
