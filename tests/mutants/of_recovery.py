"""How a workflow passes from one instance to another: claims, losses, counts, leases."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

MUTANTS = (
    Mutant(
        "claim-keeps-epoch",
        "A claim raises the epoch",
        "store/test_recovery.py::test_each_change_of_hands_raises_the_epoch",
    ),
    Mutant(
        "recovery-keeps-epoch",
        "A recovery raises the epoch",
        "store/test_recovery.py::test_each_change_of_hands_raises_the_epoch",
    ),
    Mutant(
        "cancel-keeps-epoch",
        "A cancel raises the epoch",
        "store/test_recovery.py::test_each_change_of_hands_raises_the_epoch",
    ),
    Mutant(
        "cancel-keeps-owner",
        "A cancel leaves the row nobody's",
        "store/test_recovery.py::test_a_cancelled_workflow_is_nobodys_and_no_loss_of_its_owner_wakes_it",
    ),
    Mutant(
        "cancel-of-the-ended",
        "What has ended is not cancelled",
        "engine/test_transitions.py::test_statements_change_what_the_table_says",
    ),
    Mutant(
        "strangers-cancel-taken",
        "And another's isn't",
        "store/test_recovery.py::test_a_cancelled_workflow_is_nobodys_and_no_loss_of_its_owner_wakes_it",
    ),
    Mutant(
        "claim-what-is-not-due",
        "A workflow that sleeps is claimed when it is due, not before",
        "store/test_recovery.py::test_what_is_not_due_is_not_claimed",
    ),
    Mutant(
        "claim-without-lock",
        "Two claims of one moment don't take the same row",
        "store/test_recovery.py::test_two_claims_of_one_moment_share_what_is_due",
    ),
    Mutant(
        "open-sender-keeps-from-claiming",
        "Whoever sends a message, in a transaction that stays open, keeps nobody from claiming",
        "store/test_messages.py::test_an_open_sender_keeps_nobody_from_claiming",
    ),
    Mutant(
        "recovery-of-the-living",
        "Whoever renewed its lease meanwhile keeps its work",
        "store/test_recovery.py::test_a_living_instances_work_is_left_alone",
    ),
    Mutant(
        "robbed-though-alive",
        "A recovery sees the beat that is under way: nobody is told that it lives and robbed",
        "store/test_recovery.py::test_whoever_is_renewing_its_lease_is_not_robbed",
    ),
    Mutant(
        "lost-to-itself",
        "An instance never finds itself lost",
        "store/test_recovery.py::test_an_instance_is_lost_by_its_lease_or_its_session_and_never_to_itself",
    ),
    Mutant(
        "lease-never-ends",
        "An instance whose lease ran out is lost",
        "store/test_recovery.py::test_an_instance_is_lost_by_its_lease_or_its_session_and_never_to_itself",
    ),
    Mutant(
        "half-a-restart-unseen",
        "A server that lost one process starts all others anew, which is a restart to whoever had sessions",
        "store/test_recovery.py::test_a_session_from_before_a_crash_within_the_server_went_with_all_others",
    ),
    Mutant(
        "losses-not-counted",
        "Each loss in vain is counted",
        "store/test_recovery.py::test_losses_in_vain_are_counted_and_backed_off_and_progress_starts_the_count_anew",
    ),
    Mutant(
        "never-exhausted",
        "Past the limit a workflow is given up",
        "store/test_recovery.py::test_past_the_limit_nobody_tries_any_more",
    ),
    Mutant(
        "suspects-among-all",
        "What was lost often is not claimed among the others",
        "store/test_recovery.py::test_what_was_lost_often_is_claimed_alone_and_within_the_room",
    ),
    Mutant(
        "release-without-epoch",
        "A row that was claimed anew meanwhile is not given back",
        "store/test_recovery.py::test_only_what_is_still_its_own_is_given_back",
    ),
    Mutant(
        "orphans-not-adopted",
        "Rows of an owner that nobody knows are found",
        "store/test_recovery.py::test_who_has_work_is_not_forgotten_and_whoever_is_unknown_is_known_as_lost",
    ),
    Mutant(
        "renewal-unwritten",
        "A beat renews the lease",
        "store/test_recovery.py::test_a_beat_renews_the_lease_and_names_the_new_session",
    ),
)
