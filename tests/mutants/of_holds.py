"""What is held, and who may claim it again."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

MUTANTS = (
    Mutant(
        "held-rows-claimed",
        "Nobody claims what is held",
        "store/test_held.py::test_what_is_held_is_claimed_only_once_it_is_free",
    ),
    Mutant(
        "held-suspects-claimed",
        "Nobody claims what is held, though it was lost often",
        "store/test_held.py::test_what_is_held_is_claimed_only_once_it_is_free",
    ),
    Mutant(
        "held-in-queues-begin",
        "Of what is held nothing begins in a queue",
        "store/test_held.py::test_of_a_key_the_held_one_is_passed_by",
    ),
)
