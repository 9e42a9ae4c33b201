"""Published events and Realtime."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

MUTANTS = (
    Mutant(
        "events-without-end",
        "A body is ahead of its journal by a bounded amount",
        "engine/test_publishing.py::test_a_body_is_ahead_of_its_journal_by_a_bounded_amount_and_may_give_up_there",
    ),
    Mutant(
        "realtime-hangs-again",
        "A batch that hung in Realtime is sent again without it",
        "store/test_realtime.py::test_a_realtime_that_hangs_is_given_up_when_its_statement_is",
    ),
    Mutant(
        "realtime-without-pause",
        "After a refusal nothing is sent for a while",
        "store/test_realtime.py::test_after_a_refusal_events_are_only_recorded_for_a_while",
    ),
    Mutant(
        "events-of-anybody-streamed",
        "The stream of another's events is not there",
        "http/test_published.py::test_owners_follow_theirs_and_nobody_elses",
    ),
)
