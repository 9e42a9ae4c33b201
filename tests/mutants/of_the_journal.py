"""Mutants of writing: what is acknowledged, to whom, and what begins on it."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

JOURNAL = "engine/journal.py"
EXECUTOR = "engine/executor.py"
_CUT = "test_database.py::test_a_connection_cut_at_any_commit_loses_and_doubles_nothing"

MUTANTS = (
    Mutant(
        "never-confirmed",
        "A batch that was in doubt asks which of its rows bear its nonce",
        JOURNAL,
        "if again and len(written) <",
        "if False and len(written) <",
        engine=("test_journal.py::test_a_commit_whose_answer_was_lost_is_acknowledged_all_the_same",),
    ),
    Mutant(
        "new-nonce-each-try",
        "A batch that is sent again is the same",
        JOURNAL,
        "written = await self._try(batch, again=failures > 0)",
        "batch = Batch(next(self._nonces), batch.starts, batch.writes)\n"
        "                written = await self._try(batch, again=failures > 0)",
        engine=("test_journal.py::test_a_commit_whose_answer_was_lost_is_acknowledged_all_the_same",),
    ),
    Mutant(
        "bad-data-fails-all",
        "Bad data of one workflow fails no stranger in its batch",
        JOURNAL,
        "        if len(entries) == 1:\n            if not entries[0].settled.done():\n"
        "                entries[0].settled.set_exception(error)\n"
        "                entries[0].settled.exception()  "
        "# nobody may be waiting any more: that is no error of its own\n            return\n",
        "        if entries:\n            for entry in entries:\n"
        "                if not entry.settled.done():\n"
        "                    entry.settled.set_exception(error)\n"
        "                    entry.settled.exception()\n            return\n",
        engine=("test_journal.py::test_bad_data_fails_nobody_else",),
    ),
    Mutant(
        "epochs-mixed",
        "What an old execution still had to write is not written under the new claim",
        JOURNAL,
        "not isinstance(waiting, _Write) or waiting.write.epoch != epoch or waiting",
        "not isinstance(waiting, _Write) or waiting",
        engine=(
            "test_journal.py::test_what_an_older_claim_still_had_to_write_is_refused_and_the_newer_ones_lands",
        ),
    ),
    Mutant(
        "last-word-of-the-old",
        "The last word of an older execution takes nothing from the newer",
        JOURNAL,
        "        if isinstance(waiting, _Write) and waiting.write.epoch > epoch:\n",
        "        if False:\n",
        engine=(
            "test_commit_in_doubt.py::test_the_last_word_of_an_older_execution_takes_nothing_from_the_newer",
        ),
    ),
    Mutant(
        "stale-writes-unsettled",
        "Whoever wrote for an older claim is told that it was refused",
        JOURNAL,
        "                stale.settled.set_result(False)\n",
        "                pass\n",
        engine=(
            "test_journal.py::test_what_an_older_claim_still_had_to_write_is_refused_and_the_newer_ones_lands",
        ),
    ),
    Mutant(
        "gives-up-when-away",
        "A batch is sent again until the database has answered",
        JOURNAL,
        "                failures += 1\n                self._lost(error)\n",
        "                failures += 1\n                self._lost(error)\n"
        "                if failures: break\n",
        engine=("test_journal.py::test_a_commit_whose_answer_was_lost_is_acknowledged_all_the_same",),
        crash=(_CUT,),
    ),
    Mutant(
        "begins-on-the-undurable",
        "A step begins only when all before it is durable",
        "engine/execution.py",
        "            if (write := self._last_write) is not None and not self._is_durable(write):\n",
        "            if (write := self._last_write) is not None and write is None:\n",
        engine=("test_durable_first.py::test_a_step_waits_until_all_that_the_body_has_seen_is_durable",),
    ),
    Mutant(
        "refusal-heard-late",
        "… and accepted: its refusal may not have been told yet",
        "engine/execution.py",
        "        self._written(write)  # as its own callback is about to, perhaps\n",
        "",
        engine=("test_journal.py::test_a_refusal_is_heard_before_anything_begins_on_it",),
    ),
    Mutant(
        "end-apart",
        "The last record and the end share a commit",
        EXECUTOR,
        "        journal = self._services.journal\n        try:\n            accepted = await journal.write(",
        "        journal = self._services.journal\n"
        "        if execution._last_write: await execution._last_write\n"
        "        try:\n            accepted = await journal.write(",
        engine=("test_sql_cost.py::test_n_steps_cost_one_commit_each_and_one_for_the_start",),
    ),
    Mutant(
        "refused-end-told",
        "An end that was refused is told to nobody",
        EXECUTOR,
        "        return ending if accepted else None\n",
        "        return ending\n",
        engine=("test_journal.py::test_whoever_waits_is_not_told_an_end_that_was_refused",),
    ),
    Mutant(
        "refused-record-unheard",
        "A refused record ends the execution",
        "engine/execution.py",
        "        elif not write.result():\n",
        "        elif write.result() is None:\n",
        engine=("test_journal.py::test_after_a_refused_record_no_step_begins",),
        crash=("test_takeover.py::test_a_step_that_ends_after_a_cancel_elsewhere_is_not_recorded",),
    ),
)
