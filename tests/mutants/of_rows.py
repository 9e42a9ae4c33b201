"""Mutants of what rows say and how long they stay: removal, the times of steps, what runs now."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

INSTANCES_SQL = "store/instances.sql"
JOURNAL_SQL = "store/journal.sql"
LOOKING = "engine/looking.py"
SLEEPING = "engine/sleeping.py"
_TIMES = "test_step_times.py"
_SPANS = f"{_TIMES}::test_a_step_ends_after_it_began_by_what_it_took_on_the_databases_clock"
_RUNS = f"{_TIMES}::test_a_step_that_runs_is_seen_here_at_once_and_elsewhere_after_some_seconds"

MUTANTS = (
    Mutant(
        "open-sender-keeps-from-claiming",
        "Whoever sends a message, in a transaction that stays open, keeps nobody from claiming",
        INSTANCES_SQL,
        "  limit %(room)s\n  for no key update skip locked\n",
        "  limit %(room)s\n  for update skip locked\n",
        store=("test_messages.py::test_an_open_sender_keeps_nobody_from_claiming",),
    ),
    Mutant(
        "open-sender-keeps-from-suspects",
        "… nor a suspect",
        INSTANCES_SQL,
        "  limit %(suspects)s\n  for no key update skip locked\n",
        "  limit %(suspects)s\n  for update skip locked\n",
        store=("test_messages.py::test_an_open_sender_keeps_nobody_from_claiming",),
    ),
    Mutant(
        "open-sender-keeps-from-recovering",
        "… nor from recovering",
        INSTANCES_SQL,
        "  for no key update of w skip locked\n",
        "  for update of w skip locked\n",
        store=("test_messages.py::test_an_open_sender_keeps_nobody_from_claiming",),
    ),
    Mutant(
        "looks-never-rarer",
        "A wait that lasts long is looked at less often",
        LOOKING,
        "min(LOOK_MAX_S, max(LOOK_MIN_S, lasted_s * LATE_MAX))",
        "LOOK_MIN_S",
        unit=("test_looking.py::test_long_waits_cost_few_looks_and_share_them",),
    ),
    Mutant(
        "looks-ever-rarer",
        "… within a bound",
        LOOKING,
        "min(LOOK_MAX_S, max(LOOK_MIN_S, lasted_s * LATE_MAX))",
        "max(LOOK_MIN_S, lasted_s * LATE_MAX)",
        unit=("test_looking.py::test_an_end_is_seen_late_by_a_part_of_the_wait_and_within_bounds",),
    ),
    Mutant(
        "looks-apart",
        "Waits that last long share their looks",
        LOOKING,
        "self._due_at(each, 0.5) <= now",
        "self._due_at(each, 1.0) <= now",
        unit=("test_looking.py::test_long_waits_cost_few_looks_and_share_them",),
    ),
    Mutant(
        "looks-late-at-what-left",
        "What left this instance is looked at at once",
        LOOKING,
        "        self._looked.pop(workflow_id, None)\n\n    def forget",
        "\n    def forget",
        unit=(
            "test_looking.py::test_what_left_this_instance_begins_anew_and_what_nobody_waits_for_is_forgotten",
        ),
    ),
    Mutant(
        "transaction-dated-by-its-begin",
        "A transaction ended after its body",
        JOURNAL_SQL,
        "  clock_timestamp() - make_interval(secs => %(ended)s)\n",
        "  now()\n",
        engine=(_SPANS,),
    ),
    Mutant(
        "step-dated-by-its-commit",
        "A step began before it ended",
        JOURNAL_SQL,
        "now() - make_interval(secs => r.began), now()",
        "now(), now()",
        engine=(_SPANS,),
    ),
    Mutant(
        "sleep-for-ever",
        "The end of a sleep that left the memory is recorded",
        SLEEPING,
        " or not self._history.replaying:\n",
        ":\n",
        engine=(f"{_TIMES}::test_a_sleep_that_left_the_memory_ended_when_it_woke",),
    ),
    Mutant(
        "old-sleep-placed-late",
        "A sleep gets no place after what followed it",
        SLEEPING,
        " or not self._history.replaying:\n",
        " or True:\n",
        engine=(f"{_TIMES}::test_an_old_sleep_without_a_place_gets_none_after_what_followed_it",),
    ),
    Mutant(
        "running-steps-not-shown",
        "A step that has been running for some seconds is shown by other instances",
        INSTANCES_SQL,
        "        running = coalesce(excluded.running, i.running),\n",
        "",
        engine=(_RUNS,),
    ),
    Mutant(
        "running-though-recorded",
        "A step that is recorded doesn't run",
        "store/workflows.sql",
        "o.workflow_id = w.workflow_id and o.step_id = r.step_id\n",
        "o.workflow_id = w.workflow_id and o.step_id = r.step_id and false\n",
        engine=(_RUNS,),
    ),
    Mutant(
        "running-written-each-beat",
        "A beat writes what runs only when that has changed",
        "engine/membership.py",
        "None if shown == self._shown else running",
        "running",
        engine=(f"{_TIMES}::test_what_does_not_change_is_not_written_again",),
    ),
    Mutant(
        "waits-in-what-ended",
        "A workflow that has ended waits for nothing",
        "web/documents.py",
        'if row["over_at"] is None:\n',
        "if True:\n",
        web=("test_workflows.py::test_a_workflow_that_has_ended_waits_for_nothing",),
    ),
)
