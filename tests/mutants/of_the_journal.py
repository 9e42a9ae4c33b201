"""Writing: what is acknowledged, to whom, and what begins on it."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

MUTANTS = (
    Mutant(
        "refused-to-all-unseen",
        "What is aside for a reason that may be that of all is told of as a journal that stands still",
        "engine/test_journal.py::test_one_that_can_not_be_written_says_nothing_of_the_journal[several]",
    ),
    Mutant(
        "tables-held-from-one",
        "Who waits for a table's lock waits with all others, and that is told of",
        "engine/test_misuse.py::test_a_journal_that_does_not_move_is_told_of",
    ),
    Mutant(
        "one-write-stops-all",
        "What can't be written for a reason that nobody knows stops nobody else",
        "engine/test_refused_by_postgres.py::test_what_may_be_the_fault_of_all_stops_nobody_else_and_goes_on_when_it_is_over",
    ),
    Mutant(
        "held-found-one-by-one",
        "Rows that somebody holds are found all at once",
        "engine/test_journal.py::test_rows_that_somebody_holds_are_found_all_at_once",
    ),
    Mutant(
        "given-up-is-away",
        "A record for which the server runs out of time or memory stops nobody else",
        "engine/test_refused_by_postgres.py::test_what_may_be_the_fault_of_all_stops_nobody_else_and_goes_on_when_it_is_over",
    ),
    Mutant(
        "given-up-repeated",
        "What waited too long is not asked again at once",
        "store/test_conflicts.py::test_what_the_server_gave_up_is_not_asked_again_at_once",
    ),
    Mutant(
        "conflict-without-end",
        "A record that conflicts each time stops nobody else",
        "engine/test_refused_by_postgres.py::test_what_may_be_the_fault_of_all_stops_nobody_else_and_goes_on_when_it_is_over",
    ),
    Mutant(
        "refused-though-written",
        "What is refused the second time was written the first time",
        "engine/test_journal.py::test_what_is_refused_the_second_time_was_written_the_first_time",
    ),
    Mutant(
        "locks-waited-for",
        "Whoever holds one workflow's row holds up no other",
        "engine/test_refused_by_postgres.py::test_whoever_holds_a_workflows_row_holds_up_no_other",
    ),
    Mutant(
        "written-past-what-is-aside",
        "Nothing of a workflow is written past what could not be",
        "engine/test_journal.py::test_nothing_of_a_workflow_is_written_past_what_could_not_be",
    ),
    Mutant(
        "never-confirmed",
        "A batch that was in doubt asks which of its rows bear its nonce",
        "engine/test_journal.py::test_a_commit_whose_answer_was_lost_is_acknowledged_all_the_same",
    ),
    Mutant(
        "last-word-of-the-old",
        "The last word of an older execution takes nothing from the newer",
        "engine/test_commit_in_doubt.py::test_the_last_word_of_an_older_execution_takes_nothing_from_the_newer",
    ),
    Mutant(
        "begins-on-the-undurable",
        "A step begins only when all before it is durable",
        "engine/test_durable_first.py::test_a_step_waits_until_all_that_the_body_has_seen_is_durable",
    ),
    Mutant(
        "refusal-heard-late",
        "And accepted: its refusal may not have been told yet",
        "engine/test_journal.py::test_a_refusal_is_heard_before_anything_begins_on_it",
    ),
    Mutant(
        "refused-end-told",
        "An end that was refused is told to nobody",
        "engine/test_journal.py::test_whoever_waits_is_not_told_an_end_that_was_refused",
    ),
    Mutant(
        "refused-record-unheard",
        "A refused record ends the execution",
        "engine/test_journal.py::test_after_a_refused_record_no_step_begins",
    ),
)
