"""Guards of what is told of workflows: metrics, traces, logs."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

MUTANTS = (
    Mutant(
        "series-without-bound",
        "A family has only so many series",
        "unit/test_metrics.py::test_a_family_has_only_so_many_series_and_loses_no_count",
    ),
    Mutant(
        "siblings-not-summed",
        "A scrape tells of all workers",
        "unit/test_metrics.py::test_a_scrape_is_of_all_workers",
    ),
    Mutant(
        "metrics-for-anybody",
        "Metrics are for holders of a secret key",
        "http/test_metrics.py::test_the_host_itself_shows_them_to_holders_of_a_secret_key",
    ),
    Mutant(
        "logs-for-users",
        "What workflows log and print is for holders of a secret key",
        "http/test_logs.py::test_nobody_without_a_secret_key_reads_them",
    ),
    Mutant(
        "traces-without-end",
        "After a long sleep all later stays are in the new trace",
        "engine/test_tracing.py::test_after_a_long_sleep_a_new_trace_begins_linked_both_ways",
    ),
    Mutant(
        "silenced-by-the-caller",
        "A caller that isn't sampled silences no workflow",
        "engine/test_tracing.py::test_who_is_not_sampled_where_it_is_told_silences_nothing",
    ),
)
