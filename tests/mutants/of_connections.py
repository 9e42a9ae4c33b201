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
        "broken-one-handed-out",
        "A pooled connection that ended while it lay there is handed to nobody",
        "engine/test_session_end.py::test_readers_get_none_of_the_dead_connections_of_a_pool",
    ),
)
