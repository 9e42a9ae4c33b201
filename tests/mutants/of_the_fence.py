"""Mutants of the fence: epoch, owner and lock, of records, ends and transactions."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

JOURNAL = "store/journal.sql"
_REFUSED = "test_journal.py::test_a_refused_fence_lets_nothing_of_its_workflow_in"
_UNDER_WAY = "test_fence.py::test_a_write_waits_for_a_takeover_that_is_under_way_and_is_refused"
_PAID_UNDER_WAY = (
    "test_fence.py::test_a_transaction_waits_for_a_takeover_that_is_under_way_and_leaves_nothing"
)
_SUPERSEDED = "test_fence.py::test_a_transaction_of_a_superseded_execution_leaves_nothing"
_FROZEN_STEP = "test_freeze.py::test_a_step_that_ends_after_the_takeover_is_not_recorded"
_CANCELLED = "test_takeover.py::test_a_step_that_ends_after_a_cancel_elsewhere_is_not_recorded"

MUTANTS = (
    Mutant(
        "record-without-epoch",
        "A record carries the epoch it was claimed with",
        JOURNAL,
        "where w.epoch = h.epoch and (w.owner = %(instance)s) is true\n  for share",
        "where (w.owner = %(instance)s) is true\n  for share",
        store=(_REFUSED,),
    ),
    Mutant(
        "record-without-owner",
        "A record is written by the row's owner alone",
        JOURNAL,
        "where w.epoch = h.epoch and (w.owner = %(instance)s) is true\n  for share",
        "where w.epoch = h.epoch\n  for share",
        store=(_REFUSED,),
    ),
    Mutant(
        "record-without-fence",
        "Records of a workflow whose fence refused are left out",
        JOURNAL,
        "where (r.workflow_id in (select workflow_id from fenced)) is true",
        "where r.workflow_id is not null",
        store=(_REFUSED,),
        crash=(_FROZEN_STEP, _CANCELLED),
    ),
    Mutant(
        "record-without-lock",
        "A record holds its workflow's row FOR SHARE",
        JOURNAL,
        "is true\n  for share of w\n",
        "is true\n",
        store=(_UNDER_WAY,),
    ),
    Mutant(
        "record-with-weak-lock",
        "… and not by the lock of a foreign key, which a takeover passes by",
        JOURNAL,
        "is true\n  for share of w\n",
        "is true\n  for key share of w\n",
        store=(_UNDER_WAY,),
    ),
    Mutant(
        "end-without-epoch",
        "An end carries the epoch",
        JOURNAL,
        "where w.workflow_id = e.workflow_id and w.epoch = e.epoch and (w.owner = %(instance)s) is true",
        "where w.workflow_id = e.workflow_id and (w.owner = %(instance)s) is true",
        store=(_REFUSED,),
    ),
    Mutant(
        "end-without-owner",
        "An end is written by the row's owner alone",
        JOURNAL,
        "where w.workflow_id = e.workflow_id and w.epoch = e.epoch and (w.owner = %(instance)s) is true",
        "where w.workflow_id = e.workflow_id and w.epoch = e.epoch",
        store=(_REFUSED,),
    ),
    Mutant(
        "end-keeps-owner",
        "An end leaves the row nobody's, so that no loss of its instance wakes it",
        JOURNAL,
        "      response = e.response::json,\n      owner = null,\n",
        "      response = e.response::json,\n",
        engine=("test_transitions.py::test_statements_change_what_the_table_says",),
    ),
    Mutant(
        "last-record-dropped",
        "The last record and the end are one commit",
        JOURNAL,
        "select workflow_id from ended union all select workflow_id from held\n",
        "select workflow_id from held\n",
        store=("test_journal.py::test_all_kinds_in_one_batch_are_one_transaction",),
        obvious=True,
    ),
    Mutant(
        "transaction-without-epoch",
        "A transaction's record carries the epoch",
        JOURNAL,
        "where w.workflow_id = %(workflow_id)s and w.epoch = %(epoch)s and w.owner = %(instance)s\n",
        "where w.workflow_id = %(workflow_id)s and w.owner = %(instance)s\n",
        store=(_SUPERSEDED,),
    ),
    Mutant(
        "transaction-without-owner",
        "A transaction's record is written by the row's owner alone",
        JOURNAL,
        "where w.workflow_id = %(workflow_id)s and w.epoch = %(epoch)s and w.owner = %(instance)s\n",
        "where w.workflow_id = %(workflow_id)s and w.epoch = %(epoch)s\n",
        store=(_SUPERSEDED,),
    ),
    Mutant(
        "transaction-without-lock",
        "A transaction's record holds the row FOR SHARE",
        JOURNAL,
        "w.owner = %(instance)s\n  for share\n)",
        "w.owner = %(instance)s\n)",
        store=(_PAID_UNDER_WAY,),
    ),
    Mutant(
        "transaction-commits-when-refused",
        "A refused record undoes the transaction's effects",
        "store/transactions.py",
        "                    raise psycopg.Rollback\n",
        "                    return None\n",
        store=(_SUPERSEDED,),
    ),
    Mutant(
        "transaction-unmarked",
        "A record goes only into the transaction that was opened for it",
        JOURNAL,
        "from fenced f\nwhere current_setting('outlast.transaction', true) = %(mark)s\n",
        "from fenced f\n",
        engine=("test_transactions.py::test_a_body_that_ends_the_transaction_is_refused",),
    ),
    Mutant(
        "transaction-may-commit",
        "A body may not commit by the connection it was lent",
        "store/borrowed.py",
        '    async def commit(self) -> NoReturn:\n        """Refused."""\n'
        "        raise UsageError(ENDED_BY_BODY)\n",
        '    async def commit(self) -> None:\n        """Refused."""\n        await super().commit()\n',
        engine=("test_borrowed.py::test_nothing_is_committed_by_a_body_that_tries_to",),
    ),
)
