"""Queues: what begins, what comes in, and steps under limits."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

ALIKE = "store/test_conformance.py::test_of_declarations_of_a_queue_the_newest_holds_that_somebody_makes"
DEPLOYED = (
    "engine/test_queues_on_postgres.py::test_in_a_rolling_deploy_the_limits_of_the_newest_code_that_runs_hold"
)

MUTANTS = (
    Mutant(
        "plans-compiled",
        "No plan is compiled before it is run, behind a pooler either",
        "store/test_migrations.py::test_the_database_compiles_no_plan_of_ours_whoever_asks",
    ),
    Mutant(
        "refusing-waiters-keep-places",
        "In place of one whose row refuses it the next ones have what is free under a limit",
        "store/test_refused_alike.py::"
        "test_who_refuses_the_place_that_is_free_under_a_limit_keeps_it_from_nobody[postgres]",
    ),
    Mutant(
        "memory-refusing-waiters-keep-places",
        "In memory the next ones have what is free under a limit",
        "store/test_refused_alike.py::"
        "test_who_refuses_the_place_that_is_free_under_a_limit_keeps_it_from_nobody[memory]",
    ),
    Mutant(
        "start-within-a-batchs-wait",
        "No operator sets what would let all of a batch's members expire",
        "store/test_queue_verbs.py::test_what_code_may_not_declare_together_cannot_be_set",
    ),
    Mutant(
        "queue-decided-by-two",
        "One instance at a time decides what of a queue begins",
        "store/test_queue_decisions.py::test_one_decides_at_a_time",
    ),
    Mutant(
        "paused-queue-goes-on",
        "Of a paused queue nothing begins",
        "store/test_queue_decisions.py::test_a_paused_queue_lets_nothing_begin",
    ),
    Mutant(
        "paused-queue-keeps-what-is-late",
        "What comes too late is cancelled in a pause too",
        "store/test_queue_decisions.py::test_what_comes_too_late_is_cancelled_in_a_pause_too",
    ),
    Mutant(
        "queue-begins-what-is-not-ready",
        "What has a delay, or sleeps, is no one's turn",
        "store/test_queue_decisions.py::test_what_is_not_ready_does_not_begin",
    ),
    Mutant(
        "concurrency-passed",
        "No more of a queue run than its concurrency",
        "store/test_queue_decisions.py::test_concurrency_counts_what_others_run_too",
    ),
    Mutant(
        "instance-share-passed",
        "No more of a queue run on an instance than its share",
        "store/test_queue_decisions.py::test_an_instances_share_counts_its_own_alone",
    ),
    Mutant(
        "one-takes-all-places",
        "Instances that ask share the places of a queue",
        "store/test_queues_alike.py::test_places_are_shared_by_those_who_ask",
    ),
    Mutant(
        "places-left-for-ever",
        "Places that nobody else takes are left for a moment only",
        "store/test_queues_alike.py::test_places_are_shared_by_those_who_ask",
    ),
    Mutant(
        "memory-places-left-for-ever",
        "The database in memory leaves them for a moment too",
        "store/test_queues_alike.py::test_places_are_shared_by_those_who_ask",
    ),
    Mutant(
        "rate-passed",
        "No more begin in any window than the rate",
        "store/test_queue_decisions.py::test_a_rate_is_held_one_by_one_and_together",
    ),
    Mutant(
        "key-concurrency-passed",
        "No more of a key run than may",
        "store/test_queue_decisions.py::test_what_begins_of_a_key_is_counted_by_key",
    ),
    Mutant(
        "key-rate-passed",
        "No more of a key begin in any window than its rate",
        "store/test_queue_decisions.py::test_the_rate_of_a_key_is_its_own",
    ),
    Mutant(
        "paused-key-goes-on",
        "Of a paused key nothing begins",
        "store/test_queue_decisions.py::test_a_paused_key_holds_up_itself_alone",
    ),
    Mutant(
        "strangers-taken-for-the-service",
        "No call is absorbed by that of another caller",
        "store/test_absorbing.py::test_no_call_is_absorbed_by_that_of_another_caller",
    ),
    Mutant(
        "keys-of-strangers-told",
        "Callers without a user are not told each other's ids",
        "store/test_absorbing.py::test_callers_without_a_user_are_not_told_each_others_ids",
    ),
    Mutant(
        "debounce-under-records",
        "What has begun once absorbs no call with another input",
        "store/test_absorbing.py::test_what_has_begun_once_or_is_held_absorbs_nothing",
    ),
    Mutant(
        "held-member-holds-up-all",
        "A member of a batch that somebody holds stops no queue",
        "store/test_queue_decisions.py::test_a_member_of_a_batch_that_somebody_holds_stops_no_queue",
    ),
    Mutant(
        "one-member-stops-all",
        "A member of a batch that a trigger refuses stops no queue, no batch and no other member",
        "store/test_queue_decisions.py::test_a_batch_ends_though_a_trigger_refuses_one_of_its_members",
    ),
    Mutant(
        "begun-starve-behind-many-keys",
        "Behind very many keys that are held up nothing that has begun waits for ever",
        "store/test_queue_decisions.py::test_of_very_many_keys_that_are_held_up_none_lets_what_has_begun_wait_for_ever",
    ),
    Mutant(
        "expired-though-begun",
        "What was begun once does not expire",
        "store/test_queue_decisions.py::test_what_was_begun_once_does_not_expire",
    ),
    Mutant(
        "drained-though-begun",
        "What was begun once is not drained",
        "store/test_queue_verbs.py::test_drain_leaves_what_was_begun_once",
        "engine/test_cut_short_on_postgres.py::test_what_waits_to_go_on_undoing_is_not_drained",
    ),
    Mutant(
        "drained-though-begun-in-memory",
        "In memory what was begun once is not drained",
        "engine/test_cut_short.py::test_what_waits_to_go_on_undoing_is_not_drained",
    ),
    Mutant(
        "unranked-unseen-at-the-door",
        "What was retried is there for other calls of its key, though nothing was decided since",
        "store/test_absorbing.py::test_what_waits_for_its_turn_is_there",
    ),
    Mutant(
        "strangers-that-wait-unseen",
        "What waits for its turn is there for other callers of its key, too",
        "store/test_absorbing.py::test_what_waits_for_its_turn_is_there",
    ),
    Mutant(
        "decisions-read-all-that-waits",
        "A decision reads what begins, not what waits, whatever the statistics",
        "store/test_queue_decisions.py::test_a_decision_reads_what_begins_though_statistics_are_of_an_empty_table",
    ),
    Mutant(
        "first-of-a-key-or-none",
        "What cannot be had now holds up nobody else of its key",
        "store/test_queue_decisions.py::test_a_first_one_that_cannot_be_had_holds_up_nobody_of_its_key",
    ),
    Mutant(
        "exclusive-shared",
        "An exclusive key is one workflow's over its whole life",
        "store/test_queue_decisions.py::test_an_exclusive_key_waits_for_one_that_sleeps",
    ),
    Mutant(
        "queue-claim-keeps-epoch",
        "Each claim raises the epoch",
        "store/test_queue_decisions.py::test_each_claim_raises_the_epoch",
    ),
    Mutant(
        "door-passed-by-two",
        "What is counted at a door holds until the commit",
        "store/test_queue_decisions.py::test_one_passes_a_door_at_a_time",
    ),
    Mutant(
        "replaced-by-a-name",
        "Whoever is replaced in a queue is told nothing of another caller",
        "store/test_sagas.py::test_a_queue_that_replaces_lets_the_old_one_undo",
        "engine/test_queues_on_postgres.py::test_what_another_call_of_a_busy_key_comes_to",
    ),
    Mutant(
        "older-code-declares",
        "In a rolling deploy old code changes no queue back",
        ALIKE,
        DEPLOYED,
    ),
    Mutant(
        "memory-older-code-declares",
        "Nor does it in memory",
        ALIKE,
    ),
    Mutant(
        "queues-declared-once",
        "What old code says of queues holds again where it alone is left",
        DEPLOYED,
    ),
    Mutant(
        "held-queues-stop-claims",
        "Whoever holds a queue's row holds up no claims where it is looked at again",
        "engine/test_queues_on_postgres.py::test_whoever_holds_a_queue_that_is_to_be_changed_back_holds_up_no_claims",
    ),
    Mutant(
        "faulty-queues-fail-lists",
        "A queue whose options can't be read fails no list of workflows",
        "store/test_waiting_on.py::test_a_queue_whose_options_cannot_be_read_is_said_to_be_faulty",
        "http/test_dashboard_pages.py::test_a_queue_that_cannot_be_read_takes_no_list_and_no_page_with_it",
    ),
    Mutant(
        "drop-passed",
        "What is over a drop is refused",
        "store/test_queue_decisions.py::test_a_drop_refuses_what_is_over_it",
    ),
    Mutant(
        "door-without-bound",
        "A full queue takes no more",
        "store/test_queue_decisions.py::test_a_full_queue_is_full",
    ),
    Mutant(
        "strangers-entry-taken",
        "Whose call it was that made the row is known by its nonce",
        "store/test_queue_decisions.py::test_an_entry_is_its_own_by_its_nonce",
    ),
    Mutant(
        "unchanged-queues-waited-for",
        "An instance waits for nobody who holds the row of a queue that it doesn't change",
        "store/test_queue_decisions.py::test_who_declares_a_queue_as_it_is_waits_for_nobody",
    ),
    Mutant(
        "one-queue-stops-all",
        "A queue that can't decide holds up no other",
        "store/test_queue_decisions.py::test_a_queue_that_cannot_decide_says_so_and_is_asked_again_after_a_while",
    ),
    Mutant(
        "faulty-queues-asked-at-once",
        "A queue that couldn't decide is asked again after a while",
        "store/test_queue_decisions.py::test_a_queue_that_cannot_decide_says_so_and_is_asked_again_after_a_while",
    ),
    Mutant(
        "clock-set-back",
        "A queue goes on in time though the database's clock was ahead",
        "store/test_queue_decisions.py::test_what_began_by_a_clock_that_was_set_back_began_just_now",
    ),
    Mutant(
        "clock-set-back-at-the-door",
        "A drop ends in time though the database's clock was ahead",
        "store/test_queue_decisions.py::test_a_drop_by_a_clock_that_was_set_back_ends_in_time",
    ),
    Mutant(
        "clock-set-back-under-a-limit",
        "A limit's rate is free in time though the database's clock was ahead",
        "store/test_queue_decisions.py::test_a_limit_used_by_a_clock_that_was_set_back_is_free_in_time",
    ),
    Mutant(
        "counted-by-the-old-clock",
        "What waits is counted though the database's clock was ahead",
        "store/test_queue_decisions.py::test_what_waits_is_counted_though_the_clock_was_set_back",
    ),
    Mutant(
        "ended-ones-still-wait",
        "Who waited for a place and has ended is in nobody's way",
        "engine/test_limits_on_postgres.py::test_who_waited_for_a_rate_and_was_cancelled_is_no_longer_in_the_way",
    ),
    Mutant(
        "limits-asked-once",
        "A limit that can't be asked is asked again",
        "engine/test_limits_on_postgres.py::test_a_step_asks_again_where_its_limit_could_not_be_read",
    ),
    Mutant(
        "one-limit-stops-all",
        "A limit that can't be read keeps no other from waking who waits",
        "engine/test_limits_on_postgres.py::test_a_limit_that_cannot_be_read_keeps_no_other_from_waking",
    ),
    Mutant(
        "limit-taken-by-two",
        "One at a time takes a place under a limit",
        "store/test_queue_decisions.py::test_one_takes_a_limit_at_a_time",
    ),
    Mutant(
        "limit-concurrency-passed",
        "No more steps run at once than their limit",
        "store/test_queue_decisions.py::test_a_limit_counts_who_holds_it",
    ),
    Mutant(
        "limit-rate-passed",
        "No more steps begin in any window than their limit's rate",
        "store/test_queue_decisions.py::test_a_limits_rate_is_held",
    ),
    Mutant(
        "given-up-keeps-its-place",
        "A step that was given up gives its place under a limit back",
        "engine/test_limits.py::test_a_step_that_was_given_up_gives_its_place_back",
    ),
    Mutant(
        "freed-places-wake-nobody",
        "Who waits for a place out of memory is woken when one is free",
        "engine/test_limits_on_postgres.py::test_who_waits_in_vain_is_woken_by_a_free_place_long_before_it_would_ask",
    ),
    Mutant(
        "memory-concurrency-passed",
        "The database in memory holds limits too",
        "store/test_queues_alike.py::test_both_choose_the_same",
    ),
    Mutant(
        "doors-waited-for-without-end",
        "A call waits at its queue's door no longer than for any start",
        "engine/test_queues_on_postgres.py::test_who_waits_too_long_at_a_door_is_told_that_it_is_unknown",
    ),
    Mutant(
        "each-waits-at-a-held-door",
        "Those behind who found a door held do not wait as long again",
        "engine/test_doors.py::test_who_waits_behind_a_held_door_is_told_with_those_before_it",
    ),
    Mutant(
        "one-call-refuses-all",
        "What the database refuses of those at a door refuses no other",
        "engine/test_doors.py::test_what_is_refused_is_refused_alone",
    ),
    Mutant(
        "one-call-enters-twice",
        "The second call of a key finds what the first one left",
        "engine/test_doors.py::test_two_calls_of_a_key_do_not_enter_together",
    ),
    Mutant(
        "debounce-without-delay",
        "What is debounced never begins before the delay of its last call",
        "store/test_absorbing.py::test_a_delay_is_kept_by_calls_of_a_key",
    ),
    Mutant(
        "delays-use-up-timeouts",
        "A timeout counts from the end of the delay",
        "engine/test_queues.py::test_a_delay_takes_nothing_from_a_timeout",
    ),
    Mutant(
        "delays-use-up-timeouts-of-sql",
        "So does one of what SQL starts",
        "engine/test_started_by_sql.py::test_its_timeout_counts_from_the_end_of_its_delay[False]",
    ),
    Mutant(
        "full-queues-hold-their-parents",
        "Who starts into a full queue is told so, and waits for nobody",
        "engine/test_queues.py::test_who_starts_into_a_full_queue_is_told_so",
    ),
    Mutant(
        "older-code-leaves-no-queue",
        "What other code says of a function stays as long as it runs",
        "store/test_queue_decisions.py::test_a_function_that_was_moved_waits_in_its_new_queue",
    ),
    Mutant(
        "time-passes-before-the-body",
        "No time passes for a body that waits for its turn or its delay",
        "engine/test_queues.py::test_no_time_passes_for_a_body_that_waits_for_its_turn",
    ),
    Mutant(
        "delayed-calls-replace",
        "What has a delay replaces nothing before its time",
        "store/test_absorbing.py::test_what_has_a_delay_is_not_there_yet",
    ),
    Mutant(
        "sleepers-stop-a-message-queue",
        "Workflows that sleep leave room for messages",
        "queues/test_consume.py::test_those_that_sleep_leave_room_for_others",
    ),
    Mutant(
        "operators-limits-passed-by-messages",
        "What operators set for a Supabase Queue holds though code says nothing of limits",
        "queues/test_consume.py::test_what_operators_set_holds_for_a_queue_without_limits_in_code",
    ),
    Mutant(
        "attributes-stop-a-message-queue",
        "An attribute that a body has set stops no Supabase Queue",
        "queues/test_consume.py::test_a_body_that_changes_what_it_was_told_of_its_message_stops_no_queue",
    ),
    Mutant(
        "messages-pass-a-small-bound",
        "Messages of a Supabase Queue keep to a small max_backlog",
        "queues/test_consume.py::test_what_a_full_queue_has_no_room_for_stays_in_pgmq",
    ),
    Mutant(
        "messages-of-a-paused-queue-taken",
        "While a Supabase Queue is paused its messages stay in it",
        "queues/test_consume.py::test_what_operators_set_holds_for_a_queue_without_limits_in_code",
    ),
    Mutant(
        "one-message-stops-its-queue",
        "A message that becomes no workflow is set aside, and others of its queue go on",
        "queues/test_consume.py::test_a_message_that_a_trigger_refuses_stops_no_other[P0001-limits0]",
    ),
    Mutant(
        "each-refused-message-told",
        "What refuses many messages is told of once",
        "queues/test_consume.py::test_a_message_that_a_trigger_refuses_stops_no_other[P0001-limits0]",
    ),
    Mutant(
        "what-a-trigger-waits-for-stops-its-queue",
        "A message whose trigger waits for what somebody holds is set aside, too",
        "queues/test_consume.py::test_a_message_whose_trigger_waits_for_what_somebody_holds_stops_no_other",
    ),
    Mutant(
        "one-slow-message-stops-its-queue",
        "A message that takes too long is set aside, too",
        "queues/test_consume.py::test_a_message_that_takes_too_long_stops_no_other",
    ),
    Mutant(
        "slow-queues-looked-at-with-others",
        "A slow Supabase Queue rarely keeps the others waiting",
        "engine/test_messages_of_queues.py::test_a_slow_queue_rarely_keeps_others_waiting",
    ),
    Mutant(
        "looks-beside-each-other-overfill",
        "Looks at several Supabase Queues at once take no more messages than there is room for",
        "engine/test_messages_of_queues.py::test_looks_beside_each_other_take_no_more_than_there_is_room_for",
    ),
    Mutant(
        "locked-messages-tried-one-a-look",
        "Messages that need a lock are tried one after the other where no other queue waits",
        "engine/test_messages_of_queues.py::test_messages_that_need_a_lock_are_tried_without_others_waiting",
    ),
    Mutant(
        "states-taken-for-locks",
        "What a trigger calls may refuse its row for the state of something else, and stops no other",
        "store/test_one_by_one.py::test_what_a_trigger_calls_may_refuse_for_its_state",
    ),
    Mutant(
        "what-pgmq-lacks-blamed-on-messages",
        "Where pgmq lacks something no message is set aside for it",
        "queues/test_consume.py::test_where_pgmq_lacks_something_no_message_is_blamed",
    ),
    Mutant(
        "what-triggers-lack-blamed-on-pgmq",
        "What a trigger lacks is the message's own",
        "queues/test_consume.py::test_what_a_trigger_lacks_is_not_taken_for_what_pgmq_lacks",
    ),
    Mutant(
        "refused-messages-asked-ever-again",
        "A message that is refused again and again is left alone ever longer",
        "engine/test_messages_of_queues.py::test_what_is_refused_is_left_alone_ever_longer_and_told_of_once",
    ),
    Mutant(
        "refused-messages-without-turns",
        "Messages that are refused are tried again at a bounded rate",
        "engine/test_messages_of_queues.py::test_where_all_is_refused_tries_are_few_and_what_is_behind_has_its_turn",
    ),
    Mutant(
        "messages-aside-unknown-to-doctor",
        "What is set aside is noted for `outlast doctor`",
        "queues/test_set_aside.py::test_doctor_names_what_is_refused_and_its_remedy_mends_it",
    ),
    Mutant(
        "last-refused-told-for-all",
        "Of what is refused the one is noted that is refused again and again",
        "queues/test_set_aside.py::test_what_is_refused_again_and_again_is_named_beside_what_was_refused_once",
    ),
    Mutant(
        "mended-messages-found",
        "What got through is found by `outlast doctor` no more",
        "queues/test_set_aside.py::test_doctor_names_what_is_refused_and_its_remedy_mends_it",
    ),
    Mutant(
        "memory-refused-messages-taken",
        "What refuses to begin stays a message in the simulation",
        "queues/test_messages_alike.py::test_both_leave_a_refused_message_as_it_is[memory]",
    ),
)
