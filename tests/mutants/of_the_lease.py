"""What an instance believes to be its own: its lease, its beats, its claims."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

MUTANTS = (
    Mutant(
        "run-though-given-back",
        "What was given back before the answer to its claim came isn't run",
        "engine/test_messages_of_queues.py::test_what_was_given_back_before_its_answer_came_is_not_run",
    ),
    Mutant(
        "releases-wait-for-rows",
        "Whoever holds a row that is given back keeps no lease from its renewal",
        "engine/test_membership.py::test_whoever_holds_a_row_that_is_given_back_ends_no_lease",
    ),
    Mutant(
        "sessions-end-with-a-statement",
        "Who is refused a statement keeps the session by which others know it",
        "engine/test_membership.py::test_who_is_refused_each_claim_keeps_its_session",
    ),
    Mutant(
        "pauses-outlast-the-lease",
        "What fails again and again beside the renewal of a lease doesn't keep it from its time",
        "engine/test_membership.py::test_whose_claims_fail_again_and_again_keeps_a_short_lease",
    ),
    Mutant(
        "lost-in-use-untold",
        "Who loses its session in use comes back as soon as who lost it idle",
        "engine/test_membership.py::test_who_loses_each_session_under_its_claim_is_back_as_soon_each_time",
    ),
    Mutant(
        "trust-from-the-answer",
        "The lease is trusted from the moment its renewal was sent",
        "engine/test_lease.py::test_trust_runs_from_the_sending_of_a_renewal_and_ends_before_the_lease",
    ),
    Mutant(
        "no-margin",
        "A part of the lease is given up for clocks that differ",
        "engine/test_lease.py::test_trust_runs_from_the_sending_of_a_renewal_and_ends_before_the_lease",
    ),
    Mutant(
        "steps-without-lease",
        "No step begins while the lease can't be trusted",
        "engine/test_lease.py::test_no_step_begins_while_the_lease_cannot_be_trusted",
    ),
    Mutant(
        "attempts-without-lease",
        "No later attempt begins while the lease can't be trusted",
        "engine/test_lease.py::test_no_later_attempt_begins_while_the_lease_cannot_be_trusted",
    ),
    Mutant(
        "gap-forgotten",
        "After a gap in the lease a workflow goes on once a beat has shown that it is still owned",
        "engine/test_lease.py::test_after_a_gap_in_the_lease_no_step_begins_before_a_beat_has_shown_the_row",
    ),
    Mutant(
        "disowned-go-on",
        "An execution whose row is no longer this instance's is stopped",
        "engine/test_ownership.py::test_an_execution_is_stopped_whose_row_is_no_longer_its_own",
    ),
    Mutant(
        "orphans-kept",
        "Rows that this instance owns and doesn't know are given back",
        "engine/test_ownership.py::test_a_row_that_is_owned_and_unknown_is_given_back_when_two_beats_have_shown_it",
    ),
    Mutant(
        "orphans-at-first-sight",
        "Once two beats have shown them: an end may be on its way during one",
        "engine/test_ownership.py::test_a_row_that_is_owned_and_unknown_is_given_back_when_two_beats_have_shown_it",
    ),
    Mutant(
        "recovers-at-first-sight",
        "An instance that lost only its session has time to come back",
        "unit/test_suspicions.py::test_a_gone_session_must_stay_gone",
    ),
    Mutant(
        "claims-while-leaving",
        "What is claimed while the instance leaves is given back",
        "engine/test_membership.py::test_a_claim_that_arrives_during_the_shutdown_is_given_back",
    ),
    Mutant(
        "claimed-again-both-run",
        "Of two executions of a workflow here the former is stopped",
        "engine/test_ownership.py::test_of_two_executions_of_a_workflow_here_the_newer_stays",
    ),
    Mutant(
        "starting-ones-orphaned",
        "A workflow whose start is on its way is not given back",
        "engine/test_ownership.py::test_a_start_whose_answer_is_on_its_way_is_not_given_back",
    ),
)
