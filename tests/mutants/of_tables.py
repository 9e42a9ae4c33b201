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
)
