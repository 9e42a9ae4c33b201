"""Mutants of who sees and does what: owners, what steps returned, what signs tokens, the audit log."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

OWNED = "web/owned.py"
AUDIT = "web/audit.py"
SURROUNDINGS = "host/surroundings.py"

_STEPS = "test_ownership.py::test_users_see_that_steps_ran_and_not_what_they_returned"

MUTANTS = (
    Mutant(
        "steps-outputs-for-users",
        "Users see what steps returned only where the function says so",
        OWNED,
        "return None if owner is None else self._visible_steps(found.function)",
        "return None",
        http=(_STEPS,),
    ),
    Mutant(
        "inputs-of-children-for-users",
        "What goes into a child and comes out of it is what its parent's steps handle",
        OWNED,
        "        if owner is None or found.parent is None:\n",
        "        if True:\n",
        http=(_STEPS,),
    ),
    Mutant(
        "read-before-it-is-known-whose",
        "Whose a workflow is comes before anything else of it is read",
        "store/workflows.sql",
        "select workflow_id, function, status, subject, parent\n",
        "select workflow_id, function, status, subject, coalesce(parent, left(output::text, 0)) as parent\n",
        http=("test_ownership.py::test_whose_it_is_is_known_before_anything_large_is_read",),
    ),
    Mutant(
        "signing-secret-for-functions",
        "Functions don't find what signs tokens",
        SURROUNDINGS,
        "        for name in WITHHELD:\n            os.environ.pop(name, None)\n",
        "",
        http=("test_ownership.py::test_functions_dont_find_what_signs_tokens",),
    ),
    Mutant(
        "private-keys-for-functions",
        "Of a key set functions see what verifies",
        SURROUNDINGS,
        "for part in key if part not in _SECRET_PARTS}",
        "for part in key}",
        unit=("test_key_set.py::test_of_a_key_set_functions_see_what_verifies",),
    ),
    Mutant(
        "deferred-as-the-engine",
        "What fires at the COMMIT of a caller's transaction fires as the caller",
        "store/callers.sql",
        ", pg_catalog.set_config('role', %(role)s, true);\ncommit;",
        ";\ncommit;",
        engine=("test_callers.py::test_triggers_that_defer_again_run_as_the_caller_too",),
    ),
    Mutant(
        "left-by-a-trigger-at-the-commit",
        "What a trigger at the COMMIT leaves in the session is gone after it",
        "store/callers.py",
        '_SQL["commit"] + _SQL["clean"] + _SQL["restore"]',
        '_SQL["commit"] + _SQL["restore"]',
        engine=("test_callers.py::test_triggers_that_defer_again_run_as_the_caller_too",),
    ),
    Mutant(
        "audit-flooded-from-one-address",
        "One address has its share of the audit log",
        AUDIT,
        " and self._told[address] < OF_ADDRESS_MAX",
        "",
        web=("test_audit.py::test_one_address_has_its_share_and_others_are_still_told",),
    ),
    Mutant(
        "audit-flooded-from-many",
        "All strangers together have a share",
        AUDIT,
        "self._told.total() < OF_ALL_MAX and ",
        "",
        web=("test_audit.py::test_many_addresses_have_no_more_together",),
    ),
    Mutant(
        "refusals-untold",
        "Asking for another's workflow is told",
        AUDIT,
        " or (code == _NOT_THEIRS and not who.startswith(_SECRET))",
        "",
        web=("test_audit.py::test_who_from_where_what_and_why",),
    ),
)
