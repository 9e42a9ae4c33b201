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
        "store/test_realtime.py::test_a_realtime_that_hangs_beyond_the_journals_patience_is_left_out",
    ),
    Mutant(
        "realtime-slow-for-ever",
        "Not every commit with an event waits for a slow Realtime",
        "store/test_realtime.py::test_a_realtime_that_is_slow_with_each_event_is_not_asked_for_each",
    ),
    Mutant(
        "realtime-without-pause",
        "After a refusal nothing is sent for a while",
        "store/test_realtime.py::test_after_a_refusal_events_are_only_recorded_for_a_while",
    ),
    Mutant(
        "emitted-without-bound",
        "What a step emits at once has a bound",
        "engine/test_emitting.py::test_a_value_that_is_no_json_or_too_large_is_refused_whoever_listens",
    ),
    Mutant(
        "listeners-without-bound",
        "A listener that doesn't read keeps the newest values alone",
        "engine/test_emitting.py::test_a_listener_keeps_the_newest_and_counts_what_it_dropped",
    ),
    Mutant(
        "emits-after-its-end",
        "What an attempt left running isn't heard beside the next one",
        "engine/test_emitting.py::test_what_an_attempt_left_running_says_nothing_more",
    ),
    Mutant(
        "emitted-out-of-order",
        "What a step emits is told after what was recorded before it",
        "http/test_emitted.py::test_values_stand_where_they_were_said_among_the_records",
    ),
    Mutant(
        "stream-ends-early",
        "A stream that is read has ended when all was read",
        "engine/test_reading_events_on_postgres.py::test_long_streams_are_read_in_pieces",
    ),
    Mutant(
        "event-waits-without-the-lock",
        "Who begins to wait for an event and who publishes it meet at a row",
        "engine/test_reading_events_on_postgres.py::"
        "test_an_event_whose_commit_is_open_while_its_reader_leaves_wakes_it",
    ),
    Mutant(
        "waits-for-what-is-published",
        "Nobody begins to wait for an event that is there",
        "engine/test_reading_events_on_postgres.py::"
        "test_an_event_that_comes_while_its_reader_leaves_wakes_it",
    ),
    Mutant(
        "waits-for-what-is-published-in-memory",
        "The same in the test kit",
        "engine/test_reading_events.py::test_an_event_that_comes_while_its_reader_leaves_wakes_it",
    ),
    Mutant(
        "events-told-to-nobody",
        "The commit that publishes an event wakes who waits for it",
        "engine/test_reading_events_on_postgres.py::"
        "test_who_waits_leaves_the_memory_and_is_woken_by_the_commit_that_publishes",
    ),
    Mutant(
        "progress-wakes-nobody",
        "How far a map is wakes who reads that",
        "engine/test_reading_events_on_postgres.py::test_how_far_a_map_is_wakes_who_reads_it",
    ),
    Mutant(
        "events-told-to-nobody-in-memory",
        "The same in the test kit",
        "engine/test_reading_events.py::"
        "test_who_waits_leaves_the_memory_and_is_woken_by_the_commit_that_publishes",
    ),
    Mutant(
        "step-that-reads-works",
        "A step that reads another workflow's events is in nobody's way",
        "engine/test_suspects.py::"
        "test_a_suspect_that_waits_for_another_in_any_way_lets_it_run[reads_events_in_a_step]",
    ),
    Mutant(
        "events-of-anybody-streamed",
        "The stream of another's events is not there",
        "http/test_published.py::test_owners_follow_theirs_and_nobody_elses",
    ),
)
