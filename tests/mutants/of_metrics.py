"""Guards of what is told of workflows: metrics."""

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
)
