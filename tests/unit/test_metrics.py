"""What is counted of facts, how much of it at most, and that it outlives the process that counted."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys

import pytest
from prometheus_client.parser import text_string_to_metric_families

from outlast.core import observations as facts
from outlast.core.lines import Line
from outlast.core.ports import Unreachable
from outlast.core.records import Measures
from outlast.host.sharing import Shared
from outlast.observe.metrics import families as f
from outlast.observe.metrics.counting import KEPT_MAX, Counting
from outlast.observe.metrics.exposition import Exposition
from outlast.observe.metrics.tallies import Found, Numbers, Tallies, sum_up

TOLD: tuple[facts.Observation, ...] = (
    facts.WorkflowStarted("w", "pay", "call"),
    facts.WorkflowStarted("v", "pay", "sql"),
    facts.WorkflowEnded("w", "pay", "SUCCESS", 0.02, None, 90.0),
    facts.WorkflowStopped("v", "pay", "Suspended", "it sleeps", 0.3),
    facts.StepRetried("w", "1", "charge", 1, 0.1, "OSError", "pay"),
    facts.StepEnded("w", "pay", "1", "charge", "step", True, 2, 0.6),
    facts.StepEnded("w", "pay", "2", "ship", "step", False, 1, 0.0),
    facts.WorkflowsClaimed(("a", "b", "c"), (0.2, 7.0, 3.0), (), ("", "mail", "map")),
    facts.ScheduleTicked("daily", "started", "s", 0.4),
    facts.ScheduleTicked("daily", "skipped", None),
    facts.JournalCommitted(3, 5, 0.002),
    facts.InstanceLost("i", 4, ("x",), "session"),
    facts.LoopLooked(0.0001),
    facts.DatabaseFound(1.0),
)
COUNTED = {
    ("outlast_workflows_started_total", ("pay", "call")): 1,
    ("outlast_workflows_started_total", ("pay", "sql")): 1,
    ("outlast_workflows_ended_total", ("pay", "SUCCESS")): 1,
    ("outlast_workflows_duration_seconds", ("pay",)): (1, 90.0),
    ("outlast_workflows_active_seconds", ("pay",)): (2, 0.32),
    ("outlast_step_duration_seconds", ("pay", "charge", "success")): (1, 0.6),
    ("outlast_step_duration_seconds", ("pay", "ship", "error")): (1, 0.0),
    ("outlast_step_attempts_total", ("pay", "charge")): 2,
    ("outlast_step_attempts_total", ("pay", "ship")): 1,
    ("outlast_queue_wait_seconds", ("mail",)): (1, 7.0),
    ("outlast_queue_wait_seconds", ("map",)): (1, 3.0),
    ("outlast_claim_lag_seconds", ()): (1, 0.2),
    ("outlast_schedule_ticks_total", ("daily", "started")): 1,
    ("outlast_schedule_ticks_total", ("daily", "skipped")): 1,
    ("outlast_schedule_lag_seconds", ()): (1, 0.4),
    ("outlast_journal_commit_seconds", ()): (1, 0.002),
    ("outlast_journal_depth", ()): 5,
    ("outlast_recoveries_total", ("session",)): 4,
    ("outlast_recoveries_total", ("exhausted",)): 1,
    ("outlast_event_loop_lag_seconds", ()): (1, 0.0001),
}


def shown(found: Found) -> float | tuple[float, float]:
    """A counter's number; of a histogram how many, and their sum."""
    if len(found.values) == 1:
        return found.values[0]
    return sum(found.values[:-1]), round(found.values[-1], 9)


def count(tallies: Tallies, *told: facts.Observation) -> None:
    counting = Counting(tallies)
    for each in told:
        counting(each)


def test_each_fact_goes_into_its_families() -> None:
    tallies = Tallies()
    count(tallies, *TOLD)
    assert {(each.family, each.labels): shown(each) for each in tallies.series()} == COUNTED


def test_a_histogram_counts_in_the_bucket_that_its_value_fits() -> None:
    tallies = Tallies()
    bounds = f.DURATION.buckets
    for value in (0.0, bounds[0], bounds[3], bounds[-1], bounds[-1] + 1):
        tallies.observe(f.DURATION, value, ("pay",))
    ((_, _, values),) = tallies.series()
    at = {index for index, each in enumerate(values[:-1]) if each}
    assert at == {0, 3, len(bounds) - 1, len(bounds)}
    assert values[0] == 2


def test_a_family_has_only_so_many_series_and_loses_no_count() -> None:
    tallies = Tallies()
    counting = Counting(tallies)
    for n in range(KEPT_MAX + 10):
        for _ in range(2):
            counting(facts.WorkflowStarted("w", f"f{n}", "call"))
    started = [each for each in tallies.series() if each.family == f.STARTED.name]
    assert len(started) == f.SERIES_MAX
    assert sum(each.values[0] for each in started) == 2 * (KEPT_MAX + 10)
    assert ("other", "other") in {each.labels for each in started}


def test_several_processes_together_have_no_more_series() -> None:
    one = [Found(f.STARTED.name, (f"a{n}", "call"), [1.0]) for n in range(400)]
    other = [Found(f.STARTED.name, (f"b{n}", "call"), [1.0]) for n in range(400)]
    summed = sum_up([one, other, one])[f.STARTED.name]
    assert len(summed) == f.SERIES_MAX
    assert sum(value for (value,) in summed.values()) == 1_200
    assert summed["a7", "call"] == [2.0]


def test_a_long_label_is_cut() -> None:
    tallies = Tallies()
    tallies.add(f.TICKS, ("s" * 1_000, "started"))
    tallies.add(f.TICKS, ("s" * 1_000, "started"))
    ((_, labels, values),) = tallies.series()
    assert (len(labels[0]), values) == (200, [2.0])


def die(numbers: Numbers) -> None:
    count(Tallies(numbers), *TOLD)
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # it has threads, and forks
def test_what_a_killed_process_has_counted_stays_and_its_successor_goes_on() -> None:
    numbers = Numbers()
    process = multiprocessing.get_context("fork").Process(target=die, args=(numbers,))
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    assert {(each.family, each.labels): shown(each) for each in numbers.series()} == COUNTED

    successor = Tallies(numbers)
    successor.add(f.STARTED, ("pay", "call"))
    successor.add(f.STARTED, ("new", "call"))
    now = {(each.family, each.labels): shown(each) for each in numbers.series()}
    assert now == {
        **COUNTED,
        (f.STARTED.name, ("pay", "call")): 2,
        (f.STARTED.name, ("new", "call")): 1,
        (f.DEPTH.name, ()): 0,  # nothing of it waits any more
    }


async def test_without_the_database_a_scrape_tells_what_is_counted_and_says_so() -> None:
    async def away() -> Measures:
        raise Unreachable("gone")

    tallies = Tallies()
    count(tallies, *TOLD)
    _, text = await Exposition(tallies, away, "1.2").text("")
    values = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }
    assert values["outlast_db_up",] == 0
    assert values["outlast_build_info", "1.2"] == 1
    assert values["outlast_workflows_active_seconds_count", "pay"] == 2
    assert not [name for name, *_ in values if name.startswith("outlast_db_workflows")]


async def test_scrapes_that_come_together_ask_the_database_once() -> None:
    asked = 0

    async def read() -> Measures:
        nonlocal asked
        asked += 1
        queues = [(f"q{n}", 1.0, float(n)) for n in range(600)]
        return Measures(queues, [("pay", "due", 2.0)], [("pay", "paused", 1.0)], [("idle", 3.0)])

    exposition = Exposition(Tallies(), read, "1.2")
    texts = [(await exposition.text(""))[1].decode() for _ in range(3)]
    assert asked == 1
    families = {each.name: each for each in text_string_to_metric_families(texts[0])}
    assert 'outlast_held{function="pay",reason="paused"} 1.0' in texts[0]
    depth = {each.labels["queue"]: each.value for each in families["outlast_db_queue_depth"].samples}
    assert (len(depth), depth["other"]) == (f.SERIES_MAX, 101)
    oldest = {
        each.labels["queue"]: each.value for each in families["outlast_db_queue_oldest_seconds"].samples
    }
    assert oldest["other"] == 599  # the longest of them, not their sum


async def test_a_scrape_is_of_all_workers() -> None:
    async def away() -> Measures:
        raise Unreachable("gone")

    shared = Shared.by(3)
    parts = [shared.part(slot) for slot in range(3)]
    for part in parts:
        assert part.tallies is not None
        part.tallies.add(f.STARTED, ("pay", "call"))
        part.tallies.observe(f.COMMIT, 0.002)
    for part in parts:
        scrape = part.scrape(away, "1.2")
        assert scrape is not None
        _, text = await scrape("")
        assert 'outlast_workflows_started_total{function="pay",trigger="call"} 3.0' in text.decode()
        assert "outlast_journal_commit_seconds_count 3.0" in text.decode()


async def test_openmetrics_is_spoken_where_it_is_asked_for() -> None:
    async def away() -> Measures:
        raise Unreachable("gone")

    kind, text = await Exposition(Tallies(), away, "1.2").text("application/openmetrics-text; version=1.0.0")
    assert kind.startswith("application/openmetrics-text")
    assert text.endswith(b"# EOF\n")


def test_who_is_never_asked_loads_no_library_for_it() -> None:
    """A cold start pays neither for scrapes nor for traces."""
    code = "import sys, outlast.host.serve, outlast.host.server, outlast.host.sharing; print(*sys.modules)"
    env = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=60)
    roots = {each.partition(".")[0] for each in done.stdout.split()}
    assert "uvicorn" in roots, done.stderr
    assert not roots & {"prometheus_client", "opentelemetry"}


async def test_where_metrics_are_off_nothing_is_counted_and_lines_are_kept_all_the_same() -> None:
    async def away() -> Measures:
        raise Unreachable("gone")

    part = Shared.by(1, counts=False).part(0)
    assert part.listeners() == []
    assert part.scrape(away, "1.2") is None
    part.lines.add("w", Line(0, 0.0, "info", "stdout", None, None, None, "kept"))
    assert [each.message for each in part.read_lines("w")] == ["kept"]
