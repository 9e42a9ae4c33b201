"""What is believed of a connection and its server."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

MUTANTS = (
    Mutant(
        "session-of-any-name",
        "A session under another name than ours is a pooler's",
        "store/test_kinds.py::test_not_under_another_name_than_ours",
    ),
    Mutant(
        "password-taken-for-a-host",
        "No part of a password is taken for the database's host, and shown",
        "store/test_address.py::test_a_url_that_cannot_be_read_is_refused_and_not_shown",
    ),
    Mutant(
        "unencrypted-if-the-server-likes",
        "The way to another host is encrypted",
        "store/test_address.py::test_the_way_to_another_host_is_encrypted",
    ),
    Mutant(
        "read-only-is-no-answer",
        "That nothing can be written is no answer to a statement",
        "engine/test_read_only.py::test_all_goes_on_when_a_database_takes_writes_again",
    ),
    Mutant(
        "read-only-sessions-kept",
        "A session that can't write is not used again",
        "engine/test_read_only.py::test_a_session_that_can_not_write_is_used_once",
    ),
    Mutant(
        "read-only-is-the-bodys-failure",
        "A transaction doesn't fail because nothing can be written",
        "engine/test_read_only.py::test_a_transaction_is_not_what_fails_where_nothing_can_be_written",
    ),
    Mutant(
        "read-only-behind-a-pooler",
        "A transaction doesn't fail because nothing can be written, behind a pooler either",
        "engine/test_read_only.py::test_a_transaction_is_not_what_fails_where_nothing_can_be_written",
    ),
    Mutant(
        "pooled-read-only",
        "A command leaves nothing in the session of a pooler",
        "crash/test_pooler.py::test_no_command_leaves_anything_in_a_session_of_a_pooler",
    ),
    Mutant(
        "broken-one-handed-out",
        "A pooled connection that ended while it lay there is handed to nobody",
        "engine/test_session_end.py::test_readers_get_none_of_the_dead_connections_of_a_pool",
    ),
    Mutant(
        "pool-waits-for-rows",
        "A statement of the pool doesn't wait without an end for what somebody holds",
        "store/test_held_rows.py::test_who_needs_what_somebody_holds_is_told_so[a door-direct]",
    ),
    Mutant(
        "rows-waited-for-behind-a-pooler",
        "Behind a pooler it doesn't either",
        "store/test_held_rows.py::test_who_needs_what_somebody_holds_is_told_so[a door-no sessions]",
    ),
    Mutant(
        "records-wait-for-rows",
        "A transaction's record doesn't keep a place of the pool for what somebody holds",
        "store/test_held_rows.py::test_who_needs_what_somebody_holds_is_told_so[a record-no sessions]",
    ),
    Mutant(
        "all-places-for-one-row",
        "Who waits for one row leaves places of the pool to others",
        "store/test_held_rows.py::test_they_wait_at_half_of_the_places_and_fail_together",
    ),
    Mutant(
        "each-waits-for-what-is-held",
        "What one has found held is waited for by none of those behind",
        "store/test_held_rows.py::test_they_wait_at_half_of_the_places_and_fail_together",
    ),
    Mutant(
        "held-though-in-doubt",
        "What may have been done before a row was found held is not told as undone",
        "store/test_held_rows.py::test_what_may_have_been_done_is_not_taken_for_undone",
    ),
    Mutant(
        "migrations-give-up",
        "Whoever migrates waits for who does so already",
        "store/test_held_rows.py::test_whoever_migrates_waits_for_the_others",
    ),
    Mutant(
        "one-row-holds-up-all-holds",
        "One row that somebody holds keeps no other workflow from being given back",
        "store/test_held_rows.py::test_a_row_that_is_held_keeps_no_other_from_being_given_back",
    ),
    Mutant(
        "users-wait-as-the-engine",
        "Bodies of transactions wait for locks as the server's own setting says",
        "engine/test_leftovers.py::test_bodies_wait_for_locks_as_the_server_says_and_not_as_the_engine",
    ),
)
