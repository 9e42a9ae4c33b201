"""Mutants of the journal, the lease, the claims, and of starting and waiting."""

from __future__ import annotations

from tests.mutants.mutant import Equivalent, Mutant

JOURNAL = "engine/journal.py"
MEMBERSHIP = "engine/membership.py"
EXECUTOR = "engine/executor.py"
ENGINE = "engine/engine.py"

_CUT = "test_database.py::test_a_connection_cut_at_any_commit_loses_and_doubles_nothing"

WRITING = (
    Mutant(
        "never-confirmed",
        "A batch that was in doubt asks which of its rows bear its nonce",
        JOURNAL,
        "if again and len(written) <",
        "if False and len(written) <",
        engine=("test_journal.py::test_a_commit_whose_answer_was_lost_is_acknowledged_all_the_same",),
        crash=(_CUT,),
    ),
    Mutant(
        "new-nonce-each-try",
        "A batch that is sent again is the same",
        JOURNAL,
        "written = await self._try(batch, again=failures > 0)",
        "batch = Batch(next(self._nonces), batch.starts, batch.writes)\n"
        "                written = await self._try(batch, again=failures > 0)",
        engine=("test_journal.py::test_a_commit_whose_answer_was_lost_is_acknowledged_all_the_same",),
        crash=(_CUT,),
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

LEASE = (
    Mutant(
        "trust-from-the-answer",
        "The lease is trusted from the moment its renewal was sent",
        MEMBERSHIP,
        "        self._lease.renewed(sent_at)\n",
        "        self._lease.renewed(monotonic())\n",
        engine=("test_lease.py::test_trust_runs_from_the_sending_of_a_renewal_and_ends_before_the_lease",),
    ),
    Mutant(
        "no-margin",
        "A part of the lease is given up for clocks that differ",
        "engine/lease.py",
        "sent_at + self.ttl_s * (1 - MARGIN)",
        "sent_at + self.ttl_s",
        engine=("test_lease.py::test_trust_runs_from_the_sending_of_a_renewal_and_ends_before_the_lease",),
    ),
    Mutant(
        "steps-without-lease",
        "No step begins while the lease can't be trusted",
        "engine/execution.py",
        "            if self._services.lease.covers(self.stretch):\n                return\n",
        "            return\n",
        engine=("test_lease.py::test_no_step_begins_while_the_lease_cannot_be_trusted",),
    ),
    Mutant(
        "attempts-without-lease",
        "No later attempt begins while the lease can't be trusted",
        "engine/execution.py",
        "        while not self._services.lease.covers(self.stretch):\n",
        "        while False:\n",
        engine=("test_lease.py::test_no_later_attempt_begins_while_the_lease_cannot_be_trusted",),
    ),
    Mutant(
        "gap-forgotten",
        "After a gap in the lease a workflow goes on once a beat has shown that it is still owned",
        "engine/lease.py",
        "        return stretch == self.stretch and self.trusted\n",
        "        return self.trusted\n",
        engine=(
            "test_lease.py::test_after_a_gap_in_the_lease_no_step_begins_before_a_beat_has_shown_the_row",
        ),
    ),
    Mutant(
        "one-beat-after-a-gap",
        "… by a second beat: the first may have been read before a recovery that was under way",
        MEMBERSHIP,
        "            elif stretch == self._lease.stretch:\n                execution.stretch = stretch\n",
        "            else:\n                execution.stretch = self._lease.stretch\n",
        engine=("test_lease.py::test_after_a_gap_in_the_lease_two_beats_must_have_shown_the_row",),
    ),
    Mutant(
        "start-from-before-a-gap",
        "A start that was sent before a gap in the lease isn't trusted after it",
        ENGINE,
        "        stretch = self._lease.stretch\n",
        "",
        then=(("arguments, stretch=stretch)", "arguments, stretch=self._lease.stretch)"),),
        engine=("test_lease.py::test_a_start_from_before_a_gap_in_the_lease_waits_for_a_beat",),
    ),
    Mutant(
        "disowned-go-on",
        "An execution whose row is no longer this instance's is stopped",
        MEMBERSHIP,
        '                execution.stop(LeaseLost("it was cancelled or runs elsewhere"))\n',
        "                pass\n",
        engine=("test_ownership.py::test_an_execution_is_stopped_whose_row_is_no_longer_its_own",),
    ),
    Mutant(
        "disowned-by-name-alone",
        "… also when the instance has claimed the row anew meanwhile",
        MEMBERSHIP,
        "            if beat.owned.get(execution.workflow_id) != execution.epoch:\n",
        "            if execution.workflow_id not in beat.owned:\n",
        engine=("test_ownership.py::test_an_execution_is_stopped_whose_row_is_no_longer_its_own",),
    ),
    Mutant(
        "known-after-the-answer",
        "What began after a beat was sent is not judged by its answer",
        MEMBERSHIP,
        "        self._verify(known, beat, stretch)\n",
        "        self._verify(list(self._executor.live.values()), beat, stretch)\n",
        engine=("test_ownership.py::test_what_began_after_a_beat_was_sent_is_not_judged_by_its_answer",),
    ),
    Mutant(
        "orphans-kept",
        "Rows that this instance owns and doesn't know are given back",
        MEMBERSHIP,
        "        if twice:\n",
        "        if False:\n",
        engine=(
            "test_ownership.py::test_a_row_that_is_owned_and_unknown_is_given_back_when_two_beats_have_shown_it",
        ),
        crash=(_CUT,),
    ),
    Mutant(
        "orphans-at-first-sight",
        "… once two beats have shown them: an end may be on its way during one",
        MEMBERSHIP,
        "twice = {each: epoch for each, epoch in unknown.items() if self._unknown.get(each) == epoch}",
        "twice = unknown",
        engine=(
            "test_ownership.py::test_a_row_that_is_owned_and_unknown_is_given_back_when_two_beats_have_shown_it",
        ),
    ),
    Mutant(
        "orphans-of-any-epoch",
        "… at the same epoch",
        MEMBERSHIP,
        "if self._unknown.get(each) == epoch}",
        "if each in self._unknown}",
        engine=(
            "test_ownership.py::test_a_row_that_is_owned_and_unknown_is_given_back_when_two_beats_have_shown_it",
        ),
    ),
    Mutant(
        "starting-ones-orphaned",
        "A workflow whose start is on its way is not given back",
        MEMBERSHIP,
        "if workflow_id not in self._executor.live and workflow_id not in starting\n",
        "if workflow_id not in self._executor.live\n",
        engine=("test_ownership.py::test_a_start_whose_answer_is_on_its_way_is_not_given_back",),
    ),
    Mutant(
        "recovers-at-first-sight",
        "An instance that lost only its session has time to come back",
        "engine/suspicions.py",
        "            if suspicion.looks >= (LOOKS_AFTER_RESTART if each.restarted else LOOKS):\n",
        "            if suspicion.looks >= 1:\n",
        unit=("test_suspicions.py::test_a_gone_session_must_stay_gone",),
        engine=("test_ownership.py::test_an_instance_whose_session_is_gone_for_a_moment_keeps_its_work",),
    ),
    Mutant(
        "restart-not-forgiven",
        "… and longer after a restart of Postgres, which takes every session",
        "engine/suspicions.py",
        "            if suspicion.looks >= (LOOKS_AFTER_RESTART if each.restarted else LOOKS):\n",
        "            if suspicion.looks >= LOOKS:\n",
        unit=("test_suspicions.py::test_after_a_restart_for_longer_than_anybody_takes_to_come_back",),
    ),
    Mutant(
        "suspicion-outlives-return",
        "Whoever came back in between is not suspected on",
        "engine/suspicions.py",
        "            lease = (each.instance_id, each.lease_until_s)\n",
        "            lease = (each.instance_id, 0.0)\n",
        unit=("test_suspicions.py::test_who_came_back_in_between_begins_anew",),
    ),
    Mutant(
        "more-than-fit",
        "No more is claimed than fits",
        MEMBERSHIP,
        "room = min(self._pace.claim_batch, self._pace.workflows_max - len(self._executor.live))",
        "room = self._pace.claim_batch",
        engine=("test_ownership.py::test_no_more_is_claimed_than_fits",),
    ),
    Mutant(
        "suspects-together",
        "A workflow that was lost often runs alone",
        MEMBERSHIP,
        "        suspects = 1 if alone else 0\n",
        "        suspects = 1000\n",
        engine=("test_membership.py::test_suspects_run_one_by_one_and_each_at_once_after_the_other",),
    ),
    Mutant(
        "claims-while-leaving",
        "What is claimed while the instance leaves is given back",
        MEMBERSHIP,
        "        if not self._claiming:  # told to stop while the claim was on its way\n",
        "        if False:\n",
        engine=("test_membership.py::test_a_claim_that_arrives_during_the_shutdown_is_given_back",),
    ),
    Mutant(
        "claims-without-history",
        "A claimed workflow has all that was recorded of it before it runs",
        MEMBERSHIP,
        "        await self._store.histories(workflows)\n",
        "",
        engine=("test_leaving.py::test_the_next_instance_goes_on_where_it_was",),
    ),
    Mutant(
        "claimed-again-both-run",
        "Of two executions of a workflow here the former is stopped",
        EXECUTOR,
        '            former.stop(LeaseLost("claimed again"))\n',
        "            pass\n",
        engine=("test_ownership.py::test_of_two_executions_of_a_workflow_here_the_newer_stays",),
    ),
    Mutant(
        "former-forgets-the-new",
        "The former execution's end leaves the new one known",
        EXECUTOR,
        "            if self.live.get(execution.workflow_id) is execution:\n",
        "            if execution.workflow_id in self.live:\n",
        engine=("test_ownership.py::test_of_two_executions_of_a_workflow_here_the_newer_stays",),
    ),
)

STARTING = (
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
                "found = await self._store.standing(list(looks))\n",
                "found = await self._store.standing(list(looks))\n                self._looked_for.clear()\n",
            ),
        ),
        engine=("test_starting.py::test_who_asks_during_anothers_query_is_answered_too",),
    ),
    Mutant(
        "moved-unheard",
        "Whoever waits for a workflow that went elsewhere is answered from there",
        "engine/waits.py",
        "        if workflow_id in self._waiters:\n            self._poll_now.set()\n",
        "        pass\n",
        engine=("test_starting.py::test_whoever_waits_for_what_went_elsewhere_is_answered_from_there",),
    ),
    Mutant(
        "child-named-anew",
        "A child's id follows from its parent and its step, so that it is started once",
        "engine/runner.py",
        '        child_id = f"{self.workflow_id}/{step_id}"\n',
        '        child_id = f"{self.workflow_id}/{step_id}-{secrets.token_hex(4)}"\n',
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
)

LEAVING = (
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
        "            if self.stopped is None:\n                # The body itself gave the step up.",
        "            if True:\n                # The body itself gave the step up.",
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
        "engine/execution.py",
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

MUTANTS = WRITING + LEASE + STARTING + LEAVING
