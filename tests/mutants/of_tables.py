"""Resources and verbs that are rows of a table."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

MUTANTS = (
    Mutant(
        "secret-columns-for-users",
        "A column that is secret is null for users",
        "web/test_tables.py::test_json_is_as_recorded_and_what_is_secret_is_null_for_users",
    ),
    Mutant(
        "secret-resources-for-users",
        "A resource or a verb that is secret takes a secret key",
        "web/test_tables.py::test_what_is_secret_takes_a_secret_key",
    ),
    Mutant(
        "anybodys-rows-listed",
        "Rows of a workflow are listed for its owner alone",
        "web/test_tables.py::test_another_users_rows_are_not_there",
    ),
    Mutant(
        "rows-shown-to-users",
        "A single row is shown to holders of a secret key alone",
        "web/test_tables.py::test_no_user_reads_or_does_what_is_secret",
    ),
    Mutant(
        "verbs-of-operators-for-users",
        "What a function of the database does takes a secret key",
        "web/test_tables.py::test_no_user_reads_or_does_what_is_secret",
    ),
    Mutant(
        "unknown-arguments-taken",
        "An argument that a verb hasn't is refused",
        "web/test_tables.py::test_each_argument_is_checked",
    ),
    Mutant(
        "arguments-beyond-their-bounds",
        "An argument beyond its bounds is refused",
        "web/test_tables.py::test_each_argument_is_checked",
    ),
    Mutant(
        "arguments-of-no-choice",
        "An argument is one of its choices",
        "web/test_tables.py::test_each_argument_is_checked",
    ),
    Mutant(
        "others-named-to-owners",
        "What a workflow waits on names no other one to its owner",
        "http/test_ownership.py::test_why_a_workflow_waits_names_no_other_to_its_owner",
    ),
    Mutant(
        "others-named-in-lists",
        "Nor in a list",
        "http/test_ownership.py::test_why_a_workflow_waits_names_no_other_to_its_owner",
    ),
)
