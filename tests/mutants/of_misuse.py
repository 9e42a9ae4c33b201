"""What is refused where it can't work, what is told of slips, and stopping what is stuck."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

MUTANTS = (
    Mutant(
        "errors-of-files-end-the-host",
        "A file is broken for itself alone, whatever its error holds",
        "functions/test_broken.py::test_the_place_and_the_error_are_told[odd]",
    ),
    Mutant(
        "validators-blame-the-host",
        "What a validator raises is the function's fault, not the host's",
        "http/test_validators.py::test_a_validator_of_an_input_that_fails_is_the_functions_fault",
    ),
    Mutant(
        "answers-whose-validators-fail",
        "No answer's type makes it a failure",
        "http/test_validators.py::test_an_answer_whose_type_fails_to_read_it_is_an_answer_all_the_same",
    ),
    Mutant(
        "details-that-cant-be-recorded",
        "An HTTPException is an answer, whatever its detail is",
        "http/test_results.py::test_no_detail_makes_an_http_exception_a_failure",
    ),
    Mutant(
        "calls-for-results",
        "A call that was not awaited is no result",
        "engine/test_misuse.py::test_a_call_is_no_result",
    ),
    Mutant(
        "woken-by-others",
        "A body is woken by what is handed over, never by a step that sets its event",
        "engine/test_misuse.py::test_nothing_but_what_is_handed_over_wakes_a_body[False]",
    ),
    Mutant(
        "restless-bodies-never-pause",
        "A body that asks in a loop leaves the processor to others",
        "engine/test_misuse.py::test_a_body_that_asks_in_a_loop_what_is_next_leaves_the_host_to_others",
    ),
    Mutant(
        "thread-not-compared",
        "A call in a thread that the body made is refused",
        "engine/test_misuse.py::test_an_async_body_calls_nothing_in_threads_it_made",
    ),
    Mutant(
        "new-threads-untold",
        "A thread that a body starts knows whose it is",
        "engine/test_misuse.py::test_a_def_body_calls_nothing_in_threads_it_made",
    ),
    Mutant(
        "def-body-in-the-loops-thread",
        "A def body's own thread makes its calls",
        "engine/test_threads.py::test_each_kind_of_call_in_each_kind_of_workflow",
    ),
    Mutant(
        "other-loops-enter",
        "A loop that isn't the host's never enters the engine",
        "engine/test_misuse.py::test_another_loop_does_not_enter_the_engine",
    ),
    Mutant(
        "stalled-journal-unseen",
        "A journal that has something to write and writes nothing is told of",
        "engine/test_misuse.py::test_a_journal_that_does_not_move_is_told_of",
    ),
    Mutant(
        "ready-while-stalled",
        "An instance that writes nothing isn't ready",
        "web/test_health.py::test_not_ready_while_nothing_is_written",
    ),
    Mutant(
        "waiter-ends-the-journal",
        "One who can't be told that his write is durable doesn't stop the journal",
        "engine/test_misuse.py::test_a_waiter_that_cannot_be_told_does_not_stop_the_journal",
    ),
    Mutant(
        "second-signal-waits",
        "A second signal ends a process whose loop is blocked",
        "crash/test_stopping.py::test_the_second_signal_ends_a_blocked_host",
    ),
    Mutant(
        "messages-hold-nul",
        "What SQL reads holds no NUL",
        "unit/test_storable.py::test_json_that_sql_cannot_read_is_refused_with_the_remedy",
    ),
    Mutant(
        "an-input-changes-unseen",
        "What would reach a child as another value is refused",
        "engine/test_answers.py::test_an_input_that_would_change_is_refused_with_its_field",
    ),
    Mutant(
        "ids-that-no-text-holds",
        "Nobody waits for an id that Postgres can't be asked for",
        "engine/test_misuse.py::test_a_handle_is_of_an_id_that_postgres_can_be_asked_for",
    ),
)
