"""Mutants of what rows say and how long they stay: removal, the times of steps, what runs now."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

INSTANCES_SQL = "store/instances.sql"

MUTANTS = (
    Mutant(
        "open-sender-keeps-from-claiming",
        "Whoever sends a message, in a transaction that stays open, keeps nobody from claiming",
        INSTANCES_SQL,
        "  limit %(room)s\n  for no key update skip locked\n",
        "  limit %(room)s\n  for update skip locked\n",
        store=("test_messages.py::test_an_open_sender_keeps_nobody_from_claiming",),
    ),
    Mutant(
        "open-sender-keeps-from-suspects",
        "… nor a suspect",
        INSTANCES_SQL,
        "  limit %(suspects)s\n  for no key update skip locked\n",
        "  limit %(suspects)s\n  for update skip locked\n",
        store=("test_messages.py::test_an_open_sender_keeps_nobody_from_claiming",),
    ),
    Mutant(
        "open-sender-keeps-from-recovering",
        "… nor from recovering",
        INSTANCES_SQL,
        "  for no key update of w skip locked\n",
        "  for update of w skip locked\n",
        store=("test_messages.py::test_an_open_sender_keeps_nobody_from_claiming",),
    ),
)
