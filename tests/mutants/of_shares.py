"""Mutants of what one caller may take of a host, and of how it is told."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

ADDRESSES = "web/addresses.py"
CONNECTIONS = "host/connections.py"
SHARES = "web/shares.py"

_SLOW_HEADS = ("test_connections.py::test_slow_heads_do_not_put_health_out_of_reach",)
_ALL_ANSWERED = ("test_connections.py::test_where_all_are_answered_health_still_is",)

MUTANTS = (
    Mutant(
        "connections-without-end",
        "A process takes no more connections than its descriptors allow",
        CONNECTIONS,
        "        if len(self._open) >= self.most:\n",
        "        if len(self._open) >= 100_000:\n",
        http=_SLOW_HEADS,
    ),
    Mutant(
        "slow-heads-stay",
        "Who has not asked yet makes room for who may",
        CONNECTIONS,
        "next(iter(self._idle or self._heads), None)",
        "next(iter(self._idle), None)",
        http=_SLOW_HEADS,
    ),
    Mutant(
        "idle-no-sooner-than-slow",
        "Idle connections are closed before those that have begun to ask",
        CONNECTIONS,
        "iter(self._idle or self._heads)",
        "iter(self._heads or self._idle)",
        http=("test_connections.py::test_idle_connections_make_room_first",),
    ),
    Mutant(
        "reserve-for-everything",
        "The connections beyond the limit are for health checks alone",
        CONNECTIONS,
        '        if scope["path"] in PROBES:\n',
        "        if scope:\n",
        http=_ALL_ANSWERED,
    ),
    Mutant(
        "no-reserve",
        "Health checks are answered when all connections are taken",
        CONNECTIONS,
        "        return len(self._open) > self.most + PROBED_MAX\n",
        "        return len(self._open) > self.most\n",
        http=_ALL_ANSWERED,
    ),
    Mutant(
        "patient-with-heads",
        "A head that isn't whole in time is given up",
        "host/protocol.py",
        "        patience_s = HEAD_S if self._reading_head else SILENT_S\n",
        "        patience_s = 1000.0 if self._reading_head else SILENT_S\n",
        http=("test_connections.py::test_a_head_is_given_up_after_a_while",),
    ),
    Mutant(
        "answer-lost-to-a-reset",
        "Before closing, what a client still sends is read, so that it gets its answer",
        "host/draining.py",
        "or not self._sending()",
        "or True",
        http=("test_bodies.py::test_who_sends_all_of_a_larger_body_before_reading_gets_the_answer",),
    ),
    Mutant(
        "anybody-says-who-calls",
        "Of a caller's address only trusted proxies are believed",
        ADDRESSES,
        "        if not self._trusts(peer):\n",
        "        if not peer:\n",
        web=("test_addresses.py::test_nobody_else_is_believed",),
        http=("test_addresses.py::test_only_trusted_proxies_say_who_calls",),
    ),
    Mutant(
        "first-hop-believed",
        "What the caller said itself of its address is not believed",
        ADDRESSES,
        "            if not self._trusts(address):\n                break\n",
        "",
        web=("test_addresses.py::test_a_trusted_proxy_tells_who_calls",),
    ),
    Mutant(
        "loopback-believed",
        "uvicorn's own belief in proxies is off",
        "host/server.py",
        "        proxy_headers=False,\n",
        "",
        http=("test_addresses.py::test_only_trusted_proxies_say_who_calls",),
    ),
    Mutant(
        "running-without-end",
        "Workflows that a caller doesn't wait for count",
        SHARES,
        "        self._running.setdefault(caller, set()).add(workflow_id)\n",
        "",
        http=("test_shares.py::test_calls_that_are_not_waited_for_count",),
    ),
    Mutant(
        "waits-without-end",
        "Waits for a workflow count as calls in flight",
        "web/workflows.py",
        "            with self._shares.in_flight(call, admitted):\n",
        "            if admitted:\n",
        http=("test_shares.py::test_waits_for_a_workflow_count",),
    ),
    Mutant(
        "handlers-without-end",
        "Handlers count as calls in flight",
        "web/app.py",
        "        with self.shares.in_flight(call, admitted):\n",
        "        if admitted:\n",
        http=("test_shares.py::test_handlers_count",),
    ),
    Mutant(
        "streams-without-end",
        "Streams have a limit of their own",
        SHARES,
        "        most = self._limits.streams_max\n",
        "        most = 1_000_000\n",
        http=("test_shares.py::test_streams_have_a_limit_of_their_own",),
    ),
    Mutant(
        "requests-without-end",
        "A caller has so many requests a second",
        SHARES,
        "        self._requests[caller] += 1\n",
        "",
        http=("test_shares.py::test_so_many_requests_a_second",),
    ),
    Mutant(
        "stored-without-end",
        "What lies in the database of a user counts",
        "web/stored.py",
        "            if (reached := self._reached(known)) is not None:\n",
        "            if (reached := self._reached(known)) is not None and not known:\n",
        web=("test_stored.py::test_who_has_as_many_as_may_be_starts_none",),
        http=("test_shares.py::test_workflows_that_lie_in_the_database_are_counted",),
    ),
    Mutant(
        "refused-by-guess",
        "Before a user is refused it is counted anew",
        "web/stored.py",
        "            if known.started or age_s >= FRESH_S:\n",
        "            if age_s < 0:\n",
        web=("test_stored.py::test_what_has_ended_counts_no_more",),
    ),
    Mutant(
        "all-strangers-one",
        "Anonymous callers are told apart by address",
        SHARES,
        "else caller_address(call.scope)",
        'else "-"',
        http=("test_shares.py::test_anonymous_callers_are_told_apart_by_address",),
    ),
)
