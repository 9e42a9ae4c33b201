"""What outlives its workers, and what is removed of ended workflows."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

MUTANTS = (
    Mutant(
        "refused-start-tried-for-ever",
        "A start that is refused ends the service: no worker would fare better",
        "crash/test_supervised.py::test_a_refused_start_ends_it_in_one_line",
    ),
)
