"""Mutants of replay: paths, order, codec, sleeps, and of what callers are told."""

from __future__ import annotations

from tests.mutants.mutant import Equivalent, Mutant

EXECUTION = "engine/execution.py"
RUNNER = "engine/runner.py"
TURNS = "engine/turns.py"
REPLAY = "core/replay.py"

REPLAYED = (
    Mutant(
        "names-not-compared",
        "Replay that meets another step than the recorded one stops",
        REPLAY,
        "        if record is not None and record.name != name:\n",
        "        if False:\n",
        unit=("test_replay.py::test_another_name_diverges_and_both_are_told",),
        engine=("test_workflows.py::test_changed_code_stops_with_both_steps_named",),
    ),
    Mutant(
        "unreached-steps-ignored",
        "A body that ends before what it once did stops",
        EXECUTION,
        "            self._history.check_all_reached(self.root.count)\n",
        "",
        engine=("test_workflows.py::test_changed_code_stops_with_both_steps_named",),
    ),
    Mutant(
        "order-starts-anew",
        "New completions come after the recorded ones",
        REPLAY,
        "        self.orders = max(orders, default=0)\n",
        "        self.orders = 0\n",
        unit=("test_replay.py::test_new_completions_come_after_recorded_ones",),
    ),
    Mutant(
        "paths-without-branches",
        "A task's calls are numbered by its branch, whatever order tasks run in",
        "core/paths.py",
        '        return Branch(self.next_id() + ".")\n',
        "        return self\n",
        unit=("test_replay.py::test_paths_number_calls_and_branches",),
        engine=("test_steps.py::test_branches_have_paths_of_their_own",),
    ),
    Mutant(
        "tasks-hashed-by-address",
        "Sets of tasks go in the order in which they were made",
        "engine/branches.py",
        "        return self._number\n",
        "        return id(self) // 16\n",
        engine=("test_order.py::test_a_set_of_tasks_goes_in_the_order_they_were_made",),
    ),
    Mutant(
        "as-completed-by-address",
        "`as_completed` makes tasks in the order given",
        "engine/branches.py",
        "        if current_line() is not None and not asyncio.isfuture(fs)",
        "        if False and not asyncio.isfuture(fs)",
        engine=("test_order.py::test_as_completed_makes_tasks_in_the_order_given",),
    ),
    Mutant(
        "results-at-once",
        "A result waits until the branch that got the one before has come to rest",
        TURNS,
        "                await self._rest()\n                order =",
        "                order =",
        engine=("test_order.py::test_the_next_result_waits_until_the_branch_that_got_one_is_at_rest",),
    ),
    Mutant(
        "results-without-turns",
        "Results go to concurrent branches one by one",
        TURNS,
        "        if not self._waiting and not self._tasks:\n",
        "        if True:\n",
        engine=("test_order.py::test_results_come_in_the_recorded_order_however_they_are_asked_for",),
    ),
    Mutant(
        "recorded-order-ignored",
        "On replay results come in the recorded order",
        TURNS,
        "                if recorded is not None and recorded < order:\n",
        "                if False:\n",
        engine=("test_order.py::test_results_come_in_the_recorded_order_however_they_are_asked_for",),
    ),
    Mutant(
        "places-not-reserved",
        "No later completion passes one that another connection commits",
        TURNS,
        "        self._reserved.add(order)\n",
        "        pass\n",
        engine=("test_order.py::test_no_completion_passes_one_that_is_about_to_be_committed",),
    ),
    Mutant(
        "cancelled-step-unrecorded",
        "A step that the body gave up is recorded so",
        EXECUTION,
        "                await self._give_up(StepRecord(step_id, name, started_s=started_s))\n",
        "                pass\n",
        engine=("test_cancellation.py::test_a_cancelled_step_is_recorded_and_not_run_again",),
    ),
    Mutant(
        "cancelled-step-unawaited",
        "On replay a step that was given up waits to be given up again",
        EXECUTION,
        "            await self._turns.cancelled_again(order)\n",
        "            raise asyncio.CancelledError\n",
        engine=("test_cancellation.py::test_what_came_after_a_timeout_waits_for_it_on_replay",),
    ),
    Mutant(
        "live-value-uncoded",
        "What a step returns live went through the codec",
        "engine/attempts.py",
        'text, value = ("", value) if codec is None else codec.through(value)',
        'text, value = ("" if codec is None else codec.through(value)[0]), value',
        engine=("test_steps.py::test_a_body_sees_the_same_live_and_on_replay",),
    ),
    Mutant(
        "lossy-values-accepted",
        "A value that would come back as another is refused",
        "core/codec.py",
        "        if not _alike(decoded, value):\n",
        "        if False:\n",
        unit=("test_codec.py::test_what_would_come_back_as_something_else_is_refused",),
    ),
    Mutant(
        "lossy-json-accepted",
        "Without an annotation only plain JSON is taken",
        "core/codec.py",
        "            if where is not None:\n",
        "            if False:\n",
        unit=("test_codec.py::test_what_is_no_json_is_refused_without_an_annotation",),
    ),
    Mutant(
        "misfits-handed-out",
        "A record that no longer fits its annotation stops the workflow",
        EXECUTION,
        "            self.stop(reason)\n            raise reason from error\n",
        "            raise\n",
        engine=("test_workflows.py::test_a_recorded_output_that_no_longer_fits_stops_the_workflow",),
    ),
)

ATTEMPTS = (
    Mutant(
        "retries-for-ever",
        "A step is tried as often as asked",
        "core/retry.py",
        "        if attempt >= self.max_attempts:\n",
        "        if False:\n",
        unit=("test_retry.py::test_by_default_nothing_is_tried_again",),
    ),
    Mutant(
        "conflicts-fail",
        "A serialization failure runs the transaction again",
        RUNNER,
        "                conflicts += 1\n                await conflict_pause(conflicts, error)\n",
        "                raise error.__cause__ or error\n",
        engine=("test_transactions.py::test_conflicts_run_the_body_again",),
    ),
    Mutant(
        "lost-commit-fails",
        "A transaction whose answer was lost runs again, and its record undoes the second run",
        RUNNER,
        "                # If that was the commit, its record stands in the way of "
        "the next run's and undoes it.\n",
        "                raise\n",
        engine=("test_transactions.py::test_a_connection_killed_in_the_body_runs_it_again",),
        crash=("test_database.py::test_a_restart_under_an_open_transaction_runs_it_again",),
    ),
    Mutant(
        "sleep-starts-anew",
        "After a crash a sleep ends when it was to end",
        RUNNER,
        '            wake_s = from_json(record.output or "0")\n',
        "            pass\n",
        engine=("test_sleeps.py::test_a_crash_keeps_the_wake_time",),
    ),
    Mutant(
        "sleep-unsaved",
        "A sleep beside other work is recorded when it begins",
        RUNNER,
        "        for sleep in self.unsaved_sleeps:\n            self._write(sleep)\n",
        "",
        engine=("test_sleeping_beside.py::test_a_sleep_is_recorded_when_it_begins",),
    ),
    Mutant(
        "wakes-past-the-deadline",
        "A sleeping workflow wakes for its deadline",
        RUNNER,
        "*([] if self._deadline_s is None else [self._deadline_s])",
        "*[]",
        engine=("test_sleeps.py::test_a_deadline_comes_before_the_wake_time",),
    ),
    Mutant(
        "deadline-not-watched",
        "A workflow past its timeout is ended",
        "engine/executor.py",
        "call_later(left_s, execution.stop, reason)",
        "call_later(left_s, lambda: None)",
        engine=("test_workflows.py::test_a_timeout_ends_body_steps_and_tasks",),
    ),
    Mutant(
        "passed-deadline-ignored",
        "A deadline that passed while nobody ran the workflow ends it",
        "engine/executor.py",
        "            execution.stopped = reason\n            return None\n",
        "            return None\n",
        engine=("test_workflows.py::test_a_deadline_that_passed_while_nobody_ran_it_ends_it_at_recovery",),
    ),
)

CALLED = (
    Mutant(
        "body-not-fingerprinted",
        "The body is a part of what makes a request the same",
        "web/invoke.py",
        "fingerprint_of(call.method, function, target.subpath, query, body)",
        'fingerprint_of(call.method, function, target.subpath, query, b"")',
        http=("test_keys.py::test_a_key_with_another_payload_is_refused",),
    ),
    Mutant(
        "fingerprint-parts-run-together",
        "Parts of a fingerprint are told apart by their lengths",
        "core/names.py",
        '[b"%d:%b" % (len(part), part) for part in parts]',
        "list(parts)",
        unit=("test_names.py::test_fingerprints_tell_parts_apart",),
    ),
    Mutant(
        "keys-shared-by-callers",
        "One caller's key is not another's",
        "core/names.py",
        "    parts = (function, key) if subject is None else (function, subject, key)\n",
        "    parts = (function, key)\n",
        unit=("test_names.py::test_ids_differ_where_calls_do",),
    ),
    Mutant(
        "keys-unescaped",
        "No key reads as another caller's, or as a child of another workflow",
        "core/names.py",
        '    readable = ":".join([parts[0], *map(_escaped, parts[1:])])\n',
        '    readable = ":".join(parts)\n',
        unit=("test_names.py::test_no_key_names_another_workflows_child",),
    ),
    Mutant(
        "duplicates-not-refused",
        "A function may refuse duplicates instead of attaching them",
        "web/invoke.py",
        '        if definition.duplicates == "conflict":\n',
        "        if False:\n",
        http=("test_keys.py::test_a_duplicate_can_be_refused_instead_of_attached",),
    ),
    Mutant(
        "replayed-not-said",
        "A replayed answer says so, and is the same otherwise",
        "web/invoke.py",
        "            return Begun(new.workflow_id, standing.status, replayed=True, ended=standing)\n",
        "            return Begun(new.workflow_id, standing.status, replayed=False, ended=standing)\n",
        http=("test_results.py::test_a_replay_runs_nothing",),
    ),
    Mutant(
        "input-not-validated",
        "Input that doesn't fit is refused before a row exists",
        "web/invoke.py",
        "    return text, definition.inputs.bind_json(body or text)\n",
        "    return text, None  # type: ignore[return-value]\n",
        http=("test_bodies.py::test_input_that_does_not_fit_is_refused",),
    ),
)

EQUIVALENTS: tuple[Equivalent, ...] = ()

MUTANTS = REPLAYED + ATTEMPTS + CALLED
