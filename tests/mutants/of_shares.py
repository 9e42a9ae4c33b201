"""Mutants of what one caller may take of a host, and of how it is told."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

MUTANTS = (
    Mutant(
        "answer-lost-to-a-reset",
        "Before closing, what a client still sends is read, so that it gets its answer",
        "host/draining.py",
        "or not self._sending()",
        "or True",
        http=("test_bodies.py::test_who_sends_all_of_a_larger_body_before_reading_gets_the_answer",),
    ),
)
