"""Mutants of what is in memory at once, and of whom a suspect keeps waiting."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

BUDGET = "core/budget.py"
LOADING = "engine/loading.py"
MEMBERSHIP = "engine/membership.py"
EXECUTOR = "engine/executor.py"
ENGINE = "engine/engine.py"
EXECUTION = "engine/execution.py"
INSTANCES = "store/instances.sql"

ANY_WAY = "test_suspects.py::test_a_suspect_that_waits_for_another_in_any_way_lets_it_run"

MUTANTS = (
    Mutant(
        "waiting-suspect-alone",
        "A suspect that waits for others lets the next one run",
        EXECUTOR,
        "self.live[each].progressed or self.live[each].pauses for each",
        "self.live[each].progressed for each",
        engine=("test_membership.py::test_a_suspect_that_waits_lets_the_next_one_run",),
    ),
    Mutant(
        "retrying-suspect-alone",
        "A suspect between two attempts lets the next one run",
        EXECUTION,
        "sum(run.awaited > 0 or run.retry_at is not None for run in",
        "sum(run.awaited > 0 for run in",
        engine=(f"{ANY_WAY}[retries]",),
    ),
    Mutant(
        "step-that-waits-works",
        "A step that waits for another workflow is in nobody's way",
        ENGINE,
        "        with self._executor.awaiting_here():\n",
        "        if True:\n",
        engine=(f"{ANY_WAY}[waits_in_a_step]",),
    ),
    Mutant(
        "suspects-beside-each-other",
        "A suspect whose own code runs is alone",
        EXECUTOR,
        "self.live[each].progressed or self.live[each].pauses for each",
        "True for each",
        engine=("test_suspects.py::test_a_suspect_that_waits_for_nothing_but_its_own_code_runs_alone",),
    ),
    Mutant(
        "claims-without-budget",
        "What is claimed fits into the memory that is left",
        INSTANCES,
        "(f.in_all <= f.bytes_left or (f.place = 1 and f.alone))",
        "true",
        engine=("test_memory.py::test_small_ones_pass_a_large_one_until_it_has_waited_long",),
    ),
    Mutant(
        "large-never-alone",
        "What is larger than all memory runs, alone",
        INSTANCES,
        "(f.in_all <= f.bytes_left or (f.place = 1 and f.alone))",
        "(f.in_all <= f.bytes_left)",
        engine=("test_memory.py::test_what_is_larger_than_all_memory_runs_alone",),
    ),
    Mutant(
        "small-pass-for-ever",
        "What is large and has waited long is passed by no more",
        INSTANCES,
        "    or (%(strict)s and (select",
        "    or (%(strict)s is null and (select",
        engine=("test_memory.py::test_small_ones_pass_a_large_one_until_it_has_waited_long",),
    ),
    Mutant(
        "records-without-budget",
        "Records are loaded only as far as there is memory for them",
        LOADING,
        "            return not self._allowance.fits(taken, workflow)\n",
        "            return False\n",
        engine=("test_memory.py::test_records_count_too_and_what_is_learned_of_them_is_kept",),
    ),
    Mutant(
        "waiting-parent-counts",
        "A parent that waits is in no child's way",
        EXECUTOR,
        "            if each.only_waits:\n",
        "            if False:\n",
        engine=("test_memory.py::test_a_parent_that_waits_is_in_no_childs_way",),
    ),
    Mutant(
        "large-calls-without-budget",
        "A large call is refused while there is no memory for it",
        ENGINE,
        "        if large and not self._budget.fits(",
        "        if False and not self._budget.fits(",
        engine=("test_memory.py::test_a_large_call_is_refused_before_a_row_exists_and_a_small_one_is_not",),
    ),
    Mutant(
        "answers-without-bound",
        "Answers of the database end where they are as large as they may be",
        "store/repeatable.py",
        "                if rows and size > bytes_max:\n",
        "                if False:\n",
        store=("test_sizes.py::test_what_workflows_returned_comes_in_parts[ended]",),
        http=("test_sizes.py::test_pages_end_early_where_rows_are_large",),
    ),
    Mutant(
        "answers-of-nothing",
        "What is larger than any answer comes alone",
        "store/repeatable.py",
        "                if rows and size > bytes_max:\n",
        "                if size > bytes_max:\n",
        store=("test_sizes.py::test_what_is_larger_than_any_part_comes_alone",),
    ),
    Mutant(
        "cut-is-the-end",
        "A page that was cut is not the last one",
        "store/workflows.py",
        "cut or (limit is not None and len(rows) > limit)",
        "limit is not None and len(rows) > limit",
        store=("test_sizes.py::test_a_page_ends_where_it_is_as_large_as_a_page_may_be",),
        http=("test_sizes.py::test_streams_go_on_after_each_part",),
    ),
    Mutant(
        "cut-is-unknown",
        "A workflow that was left out of an answer is asked for again",
        "engine/waits.py",
        "list(found if cut else looks)",
        "list(looks)",
        engine=("test_memory.py::test_what_is_waited_for_is_read_bit_by_bit",),
    ),
    Mutant(
        "messages-without-end",
        "Messages that take too long together are taken one by one",
        "engine/consuming.py",
        "                known.share = 1\n",
        "                pass\n",
        queues=("test_consume.py::test_large_messages_hold_up_no_small_one",),
    ),
    Mutant(
        "messages-without-budget",
        "What there is no memory for stays in its queue",
        "engine/consuming.py",
        "if self._budget.fits(used, each):",
        "if True:",
        queues=("test_consume.py::test_messages_are_taken_as_there_is_memory_for_them",),
    ),
    Mutant(
        "messages-held-for-ever",
        "What there is no memory for leaves its queue when it has waited",
        "engine/consuming.py",
        "        return min(room, 1) if now - known.held_since > PATIENCE_S else 0\n",
        "        return 0\n",
        queues=("test_consume.py::test_what_there_is_no_memory_for_leaves_the_queue_when_it_has_waited",),
    ),
    Mutant(
        "records-weigh-nothing",
        "A record counts even where its texts are small",
        "store/workflows.py",
        "                    workflow.load_bytes += RECORD_BYTES\n",
        "",
        engine=("test_memory.py::test_many_small_records_count_too",),
    ),
    Mutant(
        "replay-holds-the-loop",
        "A long replay lets others run",
        "engine/turns.py",
        "            if self._straight % STRAIGHT_MAX == 0:\n",
        "            if False:\n",
        engine=("test_memory.py::test_a_history_of_100_000_steps_keeps_nobody_waiting",),
    ),
    Mutant(
        "claim-without-limit",
        "A claim that takes long is given up, and holds up no beat",
        "store/instances.py",
        "                    async with asyncio.timeout(limit_s):\n",
        "                    async with asyncio.timeout(None):\n",
        engine=("test_memory.py::test_a_claim_that_takes_long_holds_up_no_beat",),
    ),
)
