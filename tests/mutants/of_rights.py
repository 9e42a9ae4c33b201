"""Who sees what, and what functions find in their surroundings."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

MUTANTS = (
    Mutant(
        "callbacks-shown-to-users",
        "A user never sees a callback's link, whatever the function lets them see",
        "http/test_ownership.py::test_whoever_is_to_be_asked_has_the_link_and_who_asks_has_not",
    ),
    Mutant(
        "known-keys-limited",
        "A caller with too many workflows gets what was started before by its key",
        "http/test_shares.py::test_workflows_that_lie_in_the_database_are_counted",
    ),
    Mutant(
        "steps-outputs-for-users",
        "Users see what steps returned only where the function says so",
        "http/test_ownership.py::test_users_see_that_steps_ran_and_not_what_they_returned",
    ),
    Mutant(
        "signing-secret-for-functions",
        "Functions don't find what signs tokens",
        "http/test_ownership.py::test_functions_dont_find_what_signs_tokens",
    ),
    Mutant(
        "audit-flooded-from-one-address",
        "One address has its share of the audit log",
        "web/test_audit.py::test_one_address_has_its_share_and_others_are_still_told",
    ),
)
