"""Mutants of what single steps show, what Postgres can't hold, and settings that are relied on."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

VISIBILITY = "functions/visibility.py"

_STEP = "test_ownership.py::test_a_step_may_show_what_it_returned"

MUTANTS = (
    Mutant(
        "hidden-steps-for-users",
        "Of a workflow users see what its visible steps returned, and nothing else",
        VISIBILITY,
        "each.definition.visible\n",
        "True\n",
        http=(_STEP,),
    ),
    Mutant(
        "steps-of-one-name-for-users",
        "A name that a hidden step has too is not shown",
        VISIBILITY,
        "shown[name] = visible and shown.get(name, True)",
        "shown[name] = visible or shown.get(name, False)",
        http=(_STEP,),
    ),
)
