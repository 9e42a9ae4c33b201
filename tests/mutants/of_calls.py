"""Starting, waiting and leaving."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

MUTANTS = (
    Mutant(
        "lost-race-runs",
        "Whoever lost the race for an id runs nothing",
        "engine/test_starting.py::test_whoever_loses_the_race_for_an_id_attaches_and_runs_nothing",
    ),
    Mutant(
        "late-start-launched",
        "A start whose answer came after its row was recovered and claimed here runs nothing",
        "engine/test_starting.py::test_a_start_whose_answer_comes_after_its_recovery_runs_nothing",
    ),
    Mutant(
        "answered-before-durable",
        "A start is answered when its row is durable",
        "engine/test_starting.py::test_a_start_is_answered_when_its_row_is_durable",
    ),
    Mutant(
        "fingerprints-not-compared",
        "A key that was used with another payload is refused",
        "engine/test_starting.py::test_whoever_loses_the_race_for_an_id_attaches_and_runs_nothing",
    ),
    Mutant(
        "starts-while-leaving",
        "An instance that shuts down starts nothing",
        "engine/test_starting.py::test_an_instance_that_leaves_starts_nothing",
    ),
    Mutant(
        "full-host-is-the-childs-error",
        "That a child can't be started just now is not recorded as its failure",
        "engine/test_children.py::test_a_child_that_cannot_be_started_now_is_started_later",
    ),
    Mutant(
        "trust-while-leaving",
        "A lease that is about to be given up is trusted no more",
        "engine/test_leaving.py::test_a_lease_is_given_up_after_the_last_moment_of_trust",
    ),
    Mutant(
        "steps-begin-while-leaving",
        "A shutdown lets no step begin",
        "engine/test_leaving.py::test_nor_does_one_begin_here_that_waited_until_what_came_before_was_durable",
    ),
    Mutant(
        "steps-shut-down-for-ever",
        "A step that raises what a shutdown does has failed",
        "engine/test_foreign_errors.py::test_what_only_a_shutdown_raises_is_a_failure_too",
    ),
    Mutant(
        "shutdown-is-the-childs-error",
        "That this instance shuts down is nobody's result",
        "engine/test_workflows.py::test_a_shutdown_while_a_parent_waits_is_no_error_of_the_child",
    ),
    Mutant(
        "not-handed-over",
        "What runs at the end of a shutdown is given back at once",
        "engine/test_leaving.py::test_a_step_that_takes_too_long_leaves_no_record_and_runs_again_elsewhere",
    ),
    Mutant(
        "sys-exit-ends-the-host",
        "What ends a process ends only the workflow that raised it",
        "engine/test_steps.py::test_whatever_is_raised_ends_no_host",
    ),
    Mutant(
        "keys-shared-by-callers",
        "One caller's key is not another's",
        "unit/test_names.py::test_ids_differ_where_calls_do",
    ),
    Mutant(
        "input-not-validated",
        "Input that doesn't fit is refused before a row exists",
        "http/test_bodies.py::test_input_that_does_not_fit_is_refused",
    ),
)
