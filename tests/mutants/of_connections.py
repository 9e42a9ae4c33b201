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
        "broken-one-handed-out",
        "A pooled connection that ended while it lay there is handed to nobody",
        "engine/test_session_end.py::test_readers_get_none_of_the_dead_connections_of_a_pool",
    ),
)
