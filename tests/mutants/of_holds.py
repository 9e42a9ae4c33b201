"""What is held, and who may claim it again."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

MUTANTS = (
    Mutant(
        "former-hold-unanswered",
        "Who asked for a hold is answered, though its workflow was claimed again meanwhile",
        "engine/test_held.py::test_a_hold_that_is_asked_for_again_is_answered_twice",
    ),
    Mutant(
        "held-rows-claimed",
        "Nobody claims what is held",
        "store/test_held.py::test_what_is_held_is_claimed_only_once_it_is_free",
    ),
    Mutant(
        "held-suspects-claimed",
        "Nobody claims what is held, though it was lost often",
        "store/test_held.py::test_what_is_held_is_claimed_only_once_it_is_free",
    ),
    Mutant(
        "cancelled-stay-held",
        "What was cancelled is held no more, and what was paused undoes",
        "store/test_held.py::test_what_is_cancelled_is_held_no_more",
    ),
    Mutant(
        "held-in-queues-begin",
        "Of what is held nothing begins in a queue",
        "store/test_held.py::test_of_a_key_the_held_one_is_passed_by",
    ),
    Mutant(
        "hold-without-epoch",
        "Only whoever runs it holds it",
        "store/test_held.py::test_it_is_held_where_nobody_has_other_code_and_freed_by_other_code_alone",
    ),
    Mutant(
        "misfits-forgotten",
        "Code that has shown that it doesn't fit is not tried again",
        "store/test_held.py::test_two_wrong_versions_leave_it_alone",
    ),
    Mutant(
        "held-from-the-right-version",
        "Where another instance has other code nothing is held",
        "store/test_held.py::test_it_goes_to_the_right_version_beside_the_wrong_one",
    ),
    Mutant(
        "paused-freed-by-code",
        "What somebody has paused is freed by nobody's code",
        "store/test_held.py::test_a_pause_is_not_freed_by_code_and_never_ends",
    ),
    Mutant(
        "freed-by-the-same-code",
        "What is held goes on with other code alone",
        "store/test_held.py::test_two_wrong_versions_leave_it_alone",
    ),
    Mutant(
        "held-ends-too-soon",
        "What is held ends only after its days",
        "store/test_held.py::test_what_was_held_too_long_ends_as_an_error",
    ),
    Mutant(
        "claimed-by-what-does-not-fit",
        "Code that doesn't fit claims it no more",
        "store/test_held.py::test_it_goes_to_the_right_version_beside_the_wrong_one",
    ),
    Mutant(
        "queued-claimed-by-what-does-not-fit",
        "Nor out of a queue",
        "store/test_held.py::test_in_a_queue_too_only_what_fits_claims_it",
    ),
    Mutant(
        "held-rows-claimed-in-memory",
        "Nobody claims what is held",
        "engine/test_operated.py::test_messages_and_timers_arrive_while_it_is_paused",
    ),
    Mutant(
        "claimed-by-what-does-not-fit-in-memory",
        "Code that doesn't fit claims it no more",
        "store/test_conformance.py::test_what_does_not_fit_goes_to_other_code_or_is_held_for_it",
    ),
    Mutant(
        "freed-by-the-same-code-in-memory",
        "What is held goes on with other code alone",
        "store/test_conformance.py::test_what_does_not_fit_goes_to_other_code_or_is_held_for_it",
    ),
    Mutant(
        "diverged-is-failed",
        "Work whose code doesn't fit is held, not failed",
        "engine/test_held.py::test_other_code_goes_on_with_what_was_held",
    ),
    Mutant(
        "versions-untold",
        "An instance tells which code it has",
        "store/test_held.py::test_a_look_tells_what_it_runs_and_frees_what_that_may_fit",
    ),
    Mutant(
        "held-never-freed",
        "Other code lets go on what is held",
        "store/test_held.py::test_a_look_tells_what_it_runs_and_frees_what_that_may_fit",
    ),
    Mutant(
        "holds-shown-to-users",
        "Users are told why and since when, and nothing of the code",
        "unit/test_holds.py::test_users_are_told_the_reason_alone",
    ),
    Mutant(
        "held-after-a-pause",
        "An instance that was away judges nobody else missing before it has been here for a while",
        "engine/test_held.py::test_who_has_just_come_judges_nobody_missing",
    ),
    Mutant(
        "patched-on-replay",
        "What has passed a place before the change goes on as before",
        "engine/test_patched.py::test_an_old_one_keeps_to_its_records",
    ),
    Mutant(
        "patch-behind-its-effects",
        "Nothing begins on an answer that a replay would not give",
        "engine/test_patched.py::test_it_is_durable_before_what_follows_where_something_else_is_on_its_way",
    ),
    Mutant(
        "transactions-before-their-patch",
        "A transaction's record is never there without the answer before it",
        "engine/test_patched.py::test_it_is_durable_before_a_transaction_is",
    ),
)
