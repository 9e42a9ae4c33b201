"""Mutants of what is believed of a connection, and of the patience in making one."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

SESSION = "store/connections.sql"
GATE = "store/gate.py"

MUTANTS = (
    Mutant(
        "session-without-its-number",
        "A session is believed in only with the number that was given at the start",
        SESSION,
        "        own.pid = %(pid)s\n        and ",
        "        ",
        store=("test_kinds.py::test_no_session_is_believed_in_behind_a_pooler",),
    ),
    Mutant(
        "session-of-any-age",
        "A session that is older than the connection is somebody else's",
        SESSION,
        "        and clock_timestamp() - own.backend_start < make_interval(secs => %(age)s)\n",
        "",
        store=("test_kinds.py::test_not_by_a_number_that_happens_to_be_the_servers",),
    ),
    Mutant(
        "session-of-any-name",
        "A session under another name than ours is a pooler's",
        SESSION,
        "        and own.application_name = any(%(names)s)\n",
        "",
        store=("test_kinds.py::test_not_under_another_name_than_ours",),
    ),
    Mutant(
        "session-watched-everywhere",
        "Others are shown a session to watch only where it is the instance's own",
        "store/instances.py",
        '{**parameters, "session": connection.kind.sessions}',
        '{**parameters, "session": True}',
        store=("test_kinds.py::test_each_new_connection_is_judged_anew",),
    ),
    Mutant(
        "everyone-tries",
        "After a failure one tries for all",
        GATE,
        "        if not self._failures:\n            return await self._try(connect)\n",
        "        if self._failures >= 0:\n            return await self._try(connect)\n",
        store=("test_gate.py::test_after_a_failure_one_tries_for_all",),
    ),
    Mutant(
        "refusal-like-an-outage",
        "Who was refused comes back much later",
        GATE,
        "        if remedy is not None and remedy.refused:\n",
        "        if remedy is not None and not remedy.refused:\n",
        store=("test_gate.py::test_a_refusal_is_told_once_and_holds_all_back_without_waiting",),
    ),
    Mutant(
        "unencrypted-if-the-server-likes",
        "The way to another host is encrypted",
        "store/address.py",
        'given.get("sslnegotiation") != "direct" else "require"}',
        'given.get("sslnegotiation") != "direct" else "prefer"}',
        store=("test_address.py::test_the_way_to_another_host_is_encrypted",),
    ),
    Mutant(
        "broken-one-handed-out",
        "A pooled connection that ended while it lay there is handed to nobody",
        "store/pool.py",
        "            if is_open(connection):\n",
        "            if is_open(connection) or True:\n",
        engine=("test_session_end.py::test_readers_get_none_of_the_dead_connections_of_a_pool",),
    ),
    Mutant(
        "heard-once",
        "All that a socket in error holds is read at once: the event loop tells of it one time only",
        "store/wire.py",
        "                if not self._more.poll(0):\n                    return\n",
        "                return\n",
        store=("test_wire.py::test_a_server_that_ends_with_the_request_unread_is_heard_to_its_end",),
    ),
)
