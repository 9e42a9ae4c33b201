"""What operators do to workflows: pause, fork, settle, kill, delete."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

CASES = "engine/test_operated.py::"
POSTGRES = "engine/test_operated_on_postgres.py::"
SQL = "store/test_workflow_verbs.py::"
KEPT = "store/test_kept.py::"
TOLD = "engine/test_told.py::test_who_runs_what_is_cancelled_hears_of_it"
ELSEWHERE = "test_another_instance_is_told_of_a_cancel"

MUTANTS = (
    Mutant(
        "items-taken-for-batches",
        "An item of a map whose key is `batch` is no batch",
        "engine/test_maps_on_postgres.py::test_an_item_is_forked_whatever_its_key_is",
    ),
    Mutant(
        "memory-items-taken-for-batches",
        "In memory an item of a map whose key is `batch` is no batch",
        "engine/test_maps.py::test_an_item_is_forked_whatever_its_key_is",
    ),
    Mutant(
        "forks-under-the-key-of-another-input",
        "A fork with another input waits under no key of the first one's",
        SQL + "test_a_fork_waits_in_its_queue_under_the_key_of_its_input",
    ),
    Mutant(
        "batches-deleted-before-their-members",
        "A batch is not deleted before its members have their results",
        "store/test_refused_alike.py::"
        "test_a_batch_is_not_deleted_before_its_members_have_their_results[postgres]",
    ),
    Mutant(
        "kills-stop-at-the-cancelled",
        "A kill reaches what still undoes below what is cancelled already",
        "store/test_kills.py::test_a_kill_goes_on_through_what_was_stopped_before",
    ),
    Mutant(
        "kills-end-before-all-is-killed",
        "A kill goes on until nothing lives below what is cancelled already",
        "store/test_kills.py::test_what_is_written_just_now_is_killed_by_the_next_one_that_tells",
    ),
    Mutant(
        "cancelled-ones-not-killed",
        "A kill of what is cancelled reaches what still undoes below it",
        "engine/test_operated_on_postgres.py::test_a_kill_reaches_what_still_undoes_below_the_cancelled[0]",
    ),
    Mutant(
        "cancelled-ones-not-killed-by-sql",
        "A kill by SQL of what is cancelled reaches what still undoes below it",
        "store/test_kills.py::test_a_kill_of_the_cancelled_reaches_what_undoes_below",
    ),
    Mutant(
        "memory-kills-stop-at-the-cancelled",
        "In memory a kill reaches what still undoes below what is cancelled already",
        "engine/test_operated.py::test_a_kill_reaches_what_still_undoes_below_the_cancelled",
    ),
    Mutant(
        "memory-cancelled-ones-not-killed",
        "In memory a kill of what is cancelled reaches what still undoes below it",
        "engine/test_operated.py::test_a_kill_reaches_what_still_undoes_below_the_cancelled[0]",
    ),
    Mutant(
        "called-before-all",
        "It is recorded after which result a call was made",
        KEPT + "test_what_was_called_before_a_failure_came_stays",
        CASES + "test_a_fork_in_a_branch_keeps_what_was_called_beside_it",
    ),
    Mutant(
        "kept-what-depends",
        "What may depend on a dropped record goes with it",
        KEPT + "test_an_order_of_records",
        KEPT + "test_what_was_called_before_a_failure_came_stays",
    ),
    Mutant(
        "kept-what-depends-in-memory",
        "The in-memory store drops what may depend on a dropped record",
        CASES + "test_a_fork_in_a_branch_keeps_what_was_called_beside_it",
    ),
    Mutant(
        "undone-kept-as-done",
        "What a saga has undone is not kept as done",
        KEPT + "test_what_was_undone_or_may_have_been_is_not_kept_as_done",
    ),
    Mutant(
        "shared-end-with-their-first-starter",
        "What was started under a key doesn't end with whoever was first",
        CASES + "test_what_has_a_key_outlasts_who_started_it_first",
    ),
    Mutant(
        "shared-ones-deleted",
        "Deleting whoever was first leaves what was started under a key",
        POSTGRES + "test_what_has_a_key_is_read_after_its_first_starter_was_deleted",
    ),
    Mutant(
        "shared-ones-deleted-in-memory",
        "So does the in-memory store",
        CASES + "test_what_has_a_key_is_read_after_its_first_starter_was_deleted",
    ),
    Mutant(
        "forks-keep-what-is-undone-next",
        "What is undone next is not kept by a fork",
        POSTGRES + "test_what_is_undone_next_is_not_kept_by_a_fork",
    ),
    Mutant(
        "memory-forks-keep-what-is-undone-next",
        "The in-memory store refuses such a fork, too",
        CASES + "test_what_is_undone_next_is_not_kept_by_a_fork",
    ),
    Mutant(
        "forks-draw-anew",
        "A fork with records draws what the first one drew",
        CASES + "test_a_fork_goes_on_from_the_failed_step",
    ),
    Mutant(
        "pauses-itself",
        "No workflow pauses itself, in its body or in a step: it would do so again when it is resumed",
        POSTGRES + "test_nobody_pauses_itself[True]",
    ),
    Mutant(
        "forks-itself",
        "No workflow forks itself, nor a fork its first one: each would do so again, without end",
        CASES + "test_nobody_forks_itself_nor_its_own_first[True]",
    ),
    Mutant(
        "acts-deleted-too",
        "Who did what to a workflow is known after it was deleted",
        SQL + "test_an_ended_workflow_is_deleted_with_all_that_belongs_to_it",
    ),
    Mutant(
        "forked-again-after-a-crash",
        "A fork whose record was lost is made once",
        POSTGRES + "test_a_fork_whose_record_was_lost_is_made_once",
    ),
    Mutant(
        "forks-with-any-input",
        "A fork's input is checked against its function",
        CASES + "test_a_fork_with_another_input",
    ),
    Mutant(
        "keys-name-forks",
        "No idempotency key gives the id of a fork",
        "unit/test_names.py::test_no_key_gives_the_id_of_a_fork",
    ),
    Mutant(
        "pause-keeps-owner",
        "A paused workflow is nobody's",
        SQL + "test_a_pause_takes_a_workflow_from_its_owner",
    ),
    Mutant(
        "pause-keeps-epoch",
        "A pause refuses the later writes of whoever runs the workflow",
        SQL + "test_a_pause_takes_a_workflow_from_its_owner",
    ),
    Mutant(
        "fork-of-another-place-answered",
        "A key of a fork stands for what was asked for",
        SQL + "test_a_key_of_a_fork_stands_for_what_was_asked_for",
    ),
    Mutant(
        "settled-with-any-output",
        "What is settled fits the type of its step",
        CASES + "test_what_is_settled_must_fit_the_type_of_its_step",
    ),
    Mutant(
        "settled-ahead",
        "Nothing is settled that the code has not come to",
        SQL + "test_nothing_is_settled_that_the_code_has_not_come_to",
    ),
    Mutant(
        "success-is-settled",
        "A step that has succeeded is not settled",
        SQL + "test_a_failed_step_is_settled",
    ),
    Mutant(
        "settled-while-it-runs",
        "A step is settled only where nobody may run it",
        SQL + "test_a_step_of_a_paused_workflow_is_settled",
    ),
    Mutant(
        "killed-ones-children-undo",
        "What was started by one that is killed is killed",
        SQL + "test_a_kill_undoes_nothing_of_the_workflow_and_of_what_it_started",
    ),
    Mutant(
        "users-kill",
        "Users can't kill their workflows",
        "http/test_ownership.py::test_a_user_does_not_kill",
    ),
    Mutant(
        "live-ones-deleted",
        "A live workflow is not deleted",
        SQL + "test_what_somebody_may_still_read_is_not_deleted",
        POSTGRES + "test_a_deleted_workflow_is_gone",
    ),
    Mutant(
        "items-deleted-under-the-living",
        "What the workflow of a map may still read is not deleted",
        SQL + "test_what_a_map_or_a_parents_fork_may_still_read_is_not_deleted",
    ),
    Mutant(
        "deleted-under-the-living",
        "What something live may still read is not deleted",
        SQL + "test_what_somebody_may_still_read_is_not_deleted",
    ),
    Mutant(
        "cancelled-unheard",
        "It is known who ran what was cancelled",
        TOLD,
        POSTGRES + ELSEWHERE,
    ),
    Mutant(
        "cancels-untold",
        "Who runs what is cancelled is notified",
        "engine/test_told.py::test_cancels_of_one_commit_notify_once_and_only_where_something_runs",
    ),
    Mutant(
        "cancelled-by-others-unheard",
        "Who runs what another cancels looks at what it owns",
        CASES + ELSEWHERE,
        TOLD,
    ),
    Mutant(
        "memory-cancelled-unheard",
        "The database in memory knows who ran what was cancelled",
        CASES + ELSEWHERE,
    ),
)
