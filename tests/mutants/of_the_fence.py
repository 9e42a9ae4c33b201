"""The fence: epoch, owner and lock, of records, ends and transactions."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

MUTANTS = (
    Mutant(
        "record-without-epoch",
        "A record carries the epoch it was claimed with",
        "store/test_journal.py::test_a_refused_fence_lets_nothing_of_its_workflow_in",
    ),
    Mutant(
        "record-without-owner",
        "A record is written by the row's owner alone",
        "store/test_journal.py::test_a_refused_fence_lets_nothing_of_its_workflow_in",
    ),
    Mutant(
        "record-without-fence",
        "Records of a workflow whose fence refused are left out",
        "store/test_journal.py::test_a_refused_fence_lets_nothing_of_its_workflow_in",
    ),
    Mutant(
        "record-without-lock",
        "A record holds its workflow's row FOR SHARE",
        "store/test_fence.py::test_a_write_waits_for_a_takeover_that_is_under_way_and_is_refused",
    ),
    Mutant(
        "end-without-epoch",
        "An end carries the epoch",
        "store/test_journal.py::test_a_refused_fence_lets_nothing_of_its_workflow_in",
    ),
    Mutant(
        "end-without-owner",
        "An end is written by the row's owner alone",
        "store/test_journal.py::test_a_refused_fence_lets_nothing_of_its_workflow_in",
    ),
    Mutant(
        "end-keeps-owner",
        "An end leaves the row nobody's, so that no loss of its instance wakes it",
        "engine/test_transitions.py::test_statements_change_what_the_table_says",
    ),
    Mutant(
        "transaction-without-epoch",
        "A transaction's record carries the epoch",
        "store/test_fence.py::test_a_transaction_of_a_superseded_execution_leaves_nothing",
    ),
    Mutant(
        "transaction-without-owner",
        "A transaction's record is written by the row's owner alone",
        "store/test_fence.py::test_a_transaction_of_a_superseded_execution_leaves_nothing",
    ),
    Mutant(
        "transaction-without-lock",
        "A transaction's record holds the row FOR SHARE",
        "store/test_fence.py::test_a_transaction_waits_for_a_takeover_that_is_under_way_and_leaves_nothing",
    ),
    Mutant(
        "transaction-unmarked",
        "A record goes only into the transaction that was opened for it",
        "engine/test_transactions.py::test_a_body_that_ends_the_transaction_is_refused",
    ),
    Mutant(
        "transaction-commits-when-refused",
        "A refused record undoes the transaction's effects",
        "store/test_fence.py::test_a_transaction_of_a_superseded_execution_leaves_nothing",
    ),
    Mutant(
        "transaction-may-commit",
        "A body may not commit by the connection it was lent",
        "engine/test_borrowed.py::test_nothing_is_committed_by_a_body_that_tries_to",
    ),
)
