"""Mutants of starting, waiting and leaving."""

from __future__ import annotations

from tests.mutants.mutant import Equivalent, Mutant

MEMBERSHIP = "engine/membership.py"
EXECUTOR = "engine/executor.py"
ENGINE = "engine/engine.py"

MUTANTS = (
    Mutant(
        "lost-race-runs",
        "Whoever lost the race for an id runs nothing",
        ENGINE,
        "if done.cancelled() or done.exception() is not None or not done.result():",
        "if done.cancelled() or done.exception() is not None:",
        engine=("test_starting.py::test_whoever_loses_the_race_for_an_id_attaches_and_runs_nothing",),
    ),
    Mutant(
        "late-start-launched",
        "A start whose answer came after its row was recovered and claimed here runs nothing",
        ENGINE,
        "            if new.workflow_id in self._executor.live:\n                return  #",
        "            if False:\n                return  #",
        engine=("test_starting.py::test_a_start_whose_answer_comes_after_its_recovery_runs_nothing",),
    ),
    Mutant(
        "lost-race-counts-as-new",
        "Whoever lost the race for an id reads how the one that is there stands",
        ENGINE,
        "            if await self._durable(started):\n                return None\n        elif",
        "            await self._durable(started)\n            return None\n        elif",
        engine=("test_starting.py::test_whoever_loses_the_race_for_an_id_attaches_and_runs_nothing",),
        http=("test_keys.py::test_a_key_with_another_payload_is_refused",),
    ),
    Mutant(
        "answered-before-durable",
        "A start is answered when its row is durable",
        ENGINE,
        "            if await self._durable(started):\n                return None\n        elif",
        "            return None\n        elif",
        engine=("test_starting.py::test_a_start_is_answered_when_its_row_is_durable",),
    ),
    Mutant(
        "fingerprints-not-compared",
        "A key that was used with another payload is refused",
        ENGINE,
        "        if standing.fingerprint != new.fingerprint:\n",
        "        if False:\n",
        engine=("test_starting.py::test_whoever_loses_the_race_for_an_id_attaches_and_runs_nothing",),
        http=("test_keys.py::test_a_key_with_another_payload_is_refused",),
    ),
    Mutant(
        "starts-while-leaving",
        "An instance that shuts down starts nothing",
        ENGINE,
        '        if self._stopping:\n            raise ShuttingDown("this instance shuts down")\n',
        "",
        engine=("test_starting.py::test_an_instance_that_leaves_starts_nothing",),
    ),
    Mutant(
        "starts-when-full",
        "A full instance says so before a row exists",
        ENGINE,
        "        if crowded or self._journal.full:\n",
        "        if False:\n",
        http=("test_limits.py::test_a_host_that_is_full_says_so",),
    ),
    Mutant(
        "children-turned-away",
        "A child is never turned away for want of room",
        ENGINE,
        "workflows_max and not child\n",
        "workflows_max\n",
        engine=("test_workflows.py::test_an_instance_full_of_parents_has_room_for_their_children",),
    ),
    Mutant(
        "starts-when-away",
        "Without a database a call is refused before anything waits for it",
        ENGINE,
        "        if self._journal.away:\n",
        "        if False:\n",
        http=("test_database_away.py::test_calls_are_turned_away_and_the_same_key_succeeds_once",),
    ),
    Mutant(
        "look-lost",
        "A look that is asked for during another's query gets its own",
        "engine/waits.py",
        "            self._looked_for.clear()\n            looks,",
        "            looks,",
        then=(
            (
                "                await self._answer(looks)\n",
                "                await self._answer(looks)\n                self._looked_for.clear()\n",
            ),
        ),
        engine=("test_starting.py::test_who_asks_during_anothers_query_is_answered_too",),
    ),
    Mutant(
        "moved-unheard",
        "Whoever waits for a workflow that went elsewhere is answered from there",
        "engine/waits.py",
        "        if workflow_id in self._waiters:\n"
        "            self._elsewhere.begin(workflow_id, monotonic())\n"
        "            self._poll_now.set()\n",
        "        pass\n",
        engine=("test_starting.py::test_whoever_waits_for_what_went_elsewhere_is_answered_from_there",),
    ),
    Mutant(
        "child-named-anew",
        "A child's id follows from its parent and its step, so that it is started once",
        "engine/runner.py",
        'workflow_id=f"{self.workflow_id}/{step_id}"',
        'workflow_id=f"{self.workflow_id}/{step_id}-{secrets.token_hex(4)}"',
        engine=(
            "test_children.py::test_a_child_whose_start_was_not_recorded_is_not_started_again",
            "test_workflows.py::test_a_child_is_started_once_and_waited_for_as_a_step",
        ),
    ),
    Mutant(
        "full-host-is-the-childs-error",
        "That a child can't be started just now is not recorded as its failure",
        "engine/runner.py",
        "                except (Overloaded, DatabaseUnavailable):\n",
        "                except ZeroDivisionError:\n",
        engine=("test_children.py::test_a_child_that_cannot_be_started_now_is_started_later",),
    ),
    Mutant(
        "trust-while-leaving",
        "A lease that is about to be given up is trusted no more",
        MEMBERSHIP,
        "        self._lease.end()\n",
        "",
        engine=("test_leaving.py::test_a_lease_is_given_up_after_the_last_moment_of_trust",),
    ),
    Mutant(
        "steps-begin-while-leaving",
        "A shutdown lets no step begin",
        "engine/execution.py",
        "            if self._draining:\n                await self._hand_over()\n            if (write",
        "            if (write",
        engine=("test_leaving.py::test_a_step_that_runs_is_recorded_and_the_next_begins_elsewhere",),
        crash=("test_shutdown.py::test_a_running_step_ends_here_and_the_next_begins_elsewhere",),
    ),
    Mutant(
        "shutdown-is-the-childs-error",
        "That this instance shuts down is nobody's result",
        "engine/execution.py",
        "isinstance(outcome, Failure) and isinstance(outcome.error, ShuttingDown)",
        "isinstance(outcome, Failure) and isinstance(outcome.error, ShuttingDown) and False",
        engine=("test_workflows.py::test_a_shutdown_while_a_parent_waits_is_no_error_of_the_child",),
    ),
    Mutant(
        "stop-recorded-as-cancel",
        "A step that the engine stops is not recorded as given up by the body",
        "engine/execution.py",
        "                if self.stopped is None:\n                    # The body itself gave the step up.",
        "                if True:\n                    # The body itself gave the step up.",
        engine=(
            "test_leaving.py::test_a_step_that_takes_too_long_leaves_no_record_and_runs_again_elsewhere",
        ),
    ),
    Mutant(
        "not-handed-over",
        "What runs at the end of a shutdown is given back at once",
        EXECUTOR,
        "        if isinstance(stopped, HandedOver):\n            return Suspension(None), None\n",
        "",
        engine=(
            "test_leaving.py::test_a_step_that_takes_too_long_leaves_no_record_and_runs_again_elsewhere",
        ),
    ),
    Mutant(
        "given-up-and-not-drained",
        "A step that is given up in a shutdown ends what waits to begin another",
        "engine/execution.py",
        "in_doubt=committed is not None)\n                    self._drained()\n",
        "in_doubt=committed is not None)\n",
        engine=("test_edges.py::test_a_shutdown_doesn_t_wait_once_its_last_step_is_given_up",),
    ),
    Mutant(
        "begun-in-the-shutdown",
        "What was claimed before the shutdown is given back in it",
        "engine/membership.py",
        "        if not self._claiming:  # told to stop while it was loaded\n",
        "        if False:\n",
        engine=("test_edges.py::test_what_was_claimed_before_the_shutdown_is_not_begun_in_it",),
    ),
    Mutant(
        "last-round-cut-off",
        "… before the loop ends",
        "engine/membership.py",
        "            await asyncio.wait([self._task], timeout=LAST_ROUND_S)\n",
        "",
        engine=("test_edges.py::test_what_was_claimed_before_the_shutdown_is_not_begun_in_it",),
    ),
    Mutant(
        "asking-at-the-close",
        "Who asks how a workflow stands is answered at the close",
        "engine/waits.py",
        "        _refuse([*self._looks.values(), *self._looking.values()], reason)\n",
        "",
        engine=("test_edges.py::test_who_asks_while_the_engine_closes_is_told_so",),
    ),
    Mutant(
        "two-journals",
        "An engine that is opened again has one journal",
        "engine/engine.py",
        "        await self._membership.join()\n        self._journal.open()\n",
        "        self._journal.open()\n        await self._membership.join()\n",
        engine=("test_edges.py::test_an_engine_that_was_opened_in_vain_has_one_journal",),
    ),
    Mutant(
        "cancelled-at-the-end",
        "A cancellation that a body leaves behind doesn't strike what writes its end",
        EXECUTOR,
        "            await _settle_cancellations()\n",
        "",
        engine=("test_edges.py::test_a_body_that_cancels_itself_has_an_end_that_is_told",),
    ),
    Mutant(
        "steps-after-the-stop",
        "A body that calls steps on and on after its end is refused ever later, and blocks nobody",
        "engine/execution.py",
        "        if self.stopped is not None:\n            await self._refuse(self.stopped)\n",
        "",
        engine=("test_stubborn.py::test_it_is_refused_ever_later",),
    ),
    Mutant(
        "undeterred-bodies-go-on",
        "A body that catches its end is abandoned",
        "engine/body.py",
        "            self._abandoned = True\n            self._body.cancel()\n",
        "            self._abandoned = True\n",
        engine=("test_sleeps.py::test_a_body_that_catches_everything_is_suspended_all_the_same",),
    ),
    Mutant(
        "sys-exit-ends-the-host",
        "What ends a process ends only the workflow that raised it",
        "engine/branches.py",
        "        except (SystemExit, KeyboardInterrupt, GeneratorExit) as error:\n",
        "        except ZeroDivisionError as error:\n",
        engine=("test_steps.py::test_whatever_is_raised_ends_no_host",),
    ),
)

EQUIVALENTS = (
    Equivalent(
        "poll-flag-cleared-late",
        "The flag of those who wait is cleared before the query",
        "engine/waits.py",
        "            # Cleared before the query: what is asked for while it runs is looked up by the next.\n"
        "            self._poll_now.clear()\n",
        "            asyncio.get_running_loop().call_later(0.001, self._poll_now.clear)\n",
        why="whoever waits is polled for ten times a second, whatever the flag says: one that is lost costs "
        "a tenth of a second and no answer",
    ),
)
