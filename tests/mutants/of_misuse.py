"""Mutants of what is refused where it can't work, of what is told of slips, and of stopping what is stuck."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

CALLS = "sdk/calls.py"
CHILDREN = "test_children.py::"
ENGINE = "engine/engine.py"
JOURNAL = "engine/journal.py"
MISUSE = "test_misuse.py::"
RESULTS = "engine/results.py"
RUNNER = "engine/runner.py"
STOPPING = "test_stopping.py::"
THREADS = "engine/threads.py"

OF_THREADS = (
    Mutant(
        "thread-not-compared",
        "A call in a thread that the body made is refused",
        "sdk/running.py",
        "    if line is not None and line.thread != get_ident():\n",
        "    if False:\n",
        engine=(MISUSE + "test_an_async_body_calls_nothing_in_threads_it_made",),
    ),
    Mutant(
        "new-threads-untold",
        "A thread that a body starts knows whose it is",
        THREADS,
        "            self.run = functools.partial(_within, line, self.run)\n",
        "            pass\n",
        engine=(MISUSE + "test_a_def_body_calls_nothing_in_threads_it_made",),
    ),
    Mutant(
        "pools-untold",
        "What a body hands to a pool knows whose it is",
        THREADS,
        "            fn = functools.partial(_within, line, fn)\n",
        "            pass\n",
        engine=(MISUSE + "test_a_def_body_calls_nothing_in_threads_it_made",),
    ),
    Mutant(
        "pool-stays-the-bodys",
        "A pool whose threads a body started serves others too",
        THREADS,
        ' and getattr(self, "_target", None) is not _WORKER',
        "",
        engine=(MISUSE + "test_a_pool_that_a_body_used_serves_others",),
    ),
    Mutant(
        "def-body-in-the-loops-thread",
        "A def body's own thread makes its calls",
        "engine/executor.py",
        "    enter_line(Line(execution, execution.root, threaded=True))\n",
        "",
        engine=("test_threads.py::test_each_kind_of_call_in_each_kind_of_workflow",),
    ),
    Mutant(
        "other-loops-enter",
        "A loop that isn't the host's never enters the engine",
        ENGINE,
        "        if not self.is_here():\n",
        "        if False:\n",
        engine=(MISUSE + "test_another_loop_does_not_enter_the_engine",),
    ),
    Mutant(
        "host-called-on-any-loop",
        "What another loop asks of the host runs on the host's",
        CALLS,
        "    if host.is_here():\n",
        "    if True:\n",
        engine=(MISUSE + "test_a_step_reaches_the_host_from_a_loop_of_its_own",),
    ),
)

OF_SLIPS = (
    Mutant(
        "unawaited-untold",
        "A call that is never awaited is told of",
        CALLS,
        "        if self._begin is None or sys.is_finalizing():\n",
        "        if True:\n",
        engine=(MISUSE + "test_a_call_that_is_not_awaited_is_told_of",),
    ),
    Mutant(
        "suspension-takes-calls-for-slips",
        "What a suspension threw away is no slip, and a replay tells of none again",
        RUNNER,
        "        if self.reason() is None and not self.replaying:\n",
        "        if True:\n",
        engine=(
            MISUSE + "test_what_is_awaited_later_or_given_up_by_the_engine_is_no_slip",
            MISUSE + "test_a_slip_is_told_once_and_not_on_each_replay",
        ),
    ),
)

OF_STANDSTILL = (
    Mutant(
        "stalled-journal-unseen",
        "A journal that has something to write and writes nothing is told of",
        JOURNAL,
        "            if looks == STALLED_LOOKS:\n",
        "            if False:\n",
        engine=(MISUSE + "test_a_journal_that_does_not_move_is_told_of",),
    ),
    Mutant(
        "ready-while-stalled",
        "An instance that writes nothing isn't ready",
        "web/health.py",
        "        if self._engine.journal_stalled:",
        "        if False:",
        web=("test_health.py::test_not_ready_while_nothing_is_written",),
    ),
    Mutant(
        "waiter-ends-the-journal",
        "One who can't be told that his write is durable doesn't stop the journal",
        JOURNAL,
        "        except Exception as error:  # noqa: BLE001 - one who waits",
        "        except ZeroDivisionError as error:  # one who waits",
        engine=(MISUSE + "test_a_waiter_that_cannot_be_told_does_not_stop_the_journal",),
    ),
    Mutant(
        "second-signal-waits",
        "A second signal ends a process whose loop is blocked",
        "host/server.py",
        "            if self._leaves:\n",
        "            if False:\n",
        crash=(STOPPING + "test_the_second_signal_ends_a_blocked_host",),
    ),
    Mutant(
        "blocked-workers-stay",
        "A second signal ends workers whose loops are blocked",
        "host/workers.py",
        "worker.process.kill() if again else worker.process.terminate()",
        "worker.process.terminate()",
        crash=(STOPPING + "test_the_second_signal_ends_blocked_workers",),
    ),
)

OF_CHILDREN = (
    Mutant(
        "childs-key-ignored",
        "A child under a key of its own is one whoever starts it",
        ENGINE,
        "        if child.key is not None:\n",
        "        if False:\n",
        engine=(CHILDREN + "test_a_child_under_a_key_of_its_own_is_one_whoever_starts_it",),
    ),
    Mutant(
        "child-outlives-its-parent",
        "A parent's timeout bounds the children it started",
        ENGINE,
        "        if child.ends_by_s is not None:\n",
        "        if False:\n",
        engine=(CHILDREN + "test_a_parents_timeout_bounds_its_children",),
    ),
    Mutant(
        "childs-own-timeout-lost",
        "… and their own timeouts too, where they are shorter",
        ENGINE,
        "min(child.ends_by_s, new.deadline_s or child.ends_by_s)",
        "child.ends_by_s",
        engine=(CHILDREN + "test_a_parents_timeout_bounds_its_children",),
    ),
    Mutant(
        "detached-bound",
        "A detached child isn't bound by its parent's timeout",
        RUNNER,
        "ends_by_s=None if detached else self._deadline_s,",
        "ends_by_s=self._deadline_s,",
        engine=(CHILDREN + "test_a_parents_timeout_bounds_its_children",),
    ),
    Mutant(
        "childs-trouble-taken-for-the-hosts",
        "That a child raised Overloaded isn't waited out",
        RESULTS,
        " or isinstance(error, DatabaseUnavailable | Overloaded | ShuttingDown)",
        "",
        engine=(CHILDREN + "test_a_child_raises_in_its_parent_what_it_raised",),
    ),
    Mutant(
        "handle-of-nothing-waits",
        "A handle of no workflow waits for nothing",
        ENGINE,
        "        if not self.runs_here(workflow_id) and await self._look(workflow_id) is None:\n",
        "        if False:\n",
        engine=(CHILDREN + "test_a_handle_of_no_workflow_waits_for_nothing",),
    ),
)

MUTANTS: tuple[Mutant, ...] = (*OF_THREADS, *OF_SLIPS, *OF_STANDSTILL, *OF_CHILDREN)
