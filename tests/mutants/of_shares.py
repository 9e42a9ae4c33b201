"""Mutants of what one caller may take of a host, and of how it is told."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

CONNECTIONS = "host/connections.py"

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
)
