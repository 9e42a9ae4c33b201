"""Mutants of publishing: what counts as an event, how far ahead a body is, and what Realtime must not do."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

PUBLISHING = "engine/publishing.py"
REALTIME = "store/realtime.py"
JOURNAL = "store/journal.py"
_AHEAD = "test_publishing.py::test_a_body_is_ahead_of_its_journal_by_a_bounded_amount_and_may_give_up_there"
_REFUSES = "test_realtime.py::test_what_realtime_refuses_is_recorded_all_the_same_and_told_once"

MUTANTS = (
    Mutant(
        "event-given-up-is-one",
        "An event whose publishing was given up is none",
        PUBLISHING,
        "await self._give_up(StepRecord(step_id, name, began=began))",
        "await self._give_up(StepRecord(step_id, name, attempts=0, began=began))",
        engine=(_AHEAD,),
    ),
    Mutant(
        "events-without-end",
        "A body is ahead of its journal by a bounded amount",
        PUBLISHING,
        "if self._ahead >= AHEAD_CHARS_MAX:",
        "if False:",
        engine=(_AHEAD,),
    ),
    Mutant(
        "event-not-given-up",
        "A cancellation that came while publishing waited is recorded",
        PUBLISHING,
        "                if self.stopped is None:\n",
        "                if False:\n",
        engine=(_AHEAD,),
    ),
    Mutant(
        "step-taken-for-event",
        "A step of an event's name is no event",
        "core/events.py",
        "if attempts == 0 and name.startswith(_PUBLISH) else None",
        "if name.startswith(_PUBLISH) else None",
        store=("test_realtime.py::test_a_batch_without_events_has_no_other_statement",),
    ),
    Mutant(
        "event-out-by-itself",
        "Events go out in the transaction of their records",
        JOURNAL,
        "            result, told = await self._run(request, broadcast)\n",
        "            (result,) = await self._run(request)\n"
        "            (told,) = await self._run(broadcast)\n",
        store=("test_realtime.py::test_a_recorded_event_goes_out_once_in_order",),
    ),
    Mutant(
        "record-fails-with-realtime",
        "What keeps events from going out keeps nothing from being recorded",
        JOURNAL,
        "            (result,) = await self._run(request)\n"
        "            self._broadcasts.refused(str(error))\n"
        "            return result\n",
        "            raise\n",
        store=(_REFUSES,),
    ),
    Mutant(
        "realtime-hangs-again",
        "A batch that hung in Realtime is sent again without it",
        JOURNAL,
        "            if isinstance(error.__cause__, TimeoutError | errors.QueryCanceled):\n",
        "            if False:\n",
        store=("test_realtime.py::test_a_realtime_that_hangs_is_given_up_when_its_statement_is",),
    ),
    Mutant(
        "realtime-without-pause",
        "After a refusal nothing is sent for a while",
        REALTIME,
        "if not published or monotonic() < self._resumes:",
        "if not published:",
        store=("test_realtime.py::test_after_a_refusal_events_are_only_recorded_for_a_while",),
    ),
    Mutant(
        "realtime-told-each-time",
        "A refusal is told once",
        REALTIME,
        "        if self._failures == 1:\n",
        "        if True:\n",
        store=(_REFUSES,),
    ),
    Mutant(
        "realtime-warnings-unheard",
        "What realtime.send swallows is heard as its warning",
        JOURNAL,
        "            connection.add_notice_handler(self._broadcasts.noticed)\n",
        "            pass\n",
        store=(_REFUSES,),
    ),
    Mutant(
        "realtime-tried-with-all",
        "After a refusal one event of a batch tries",
        REALTIME,
        '"on" if self._failures else "off"',
        '"off"',
        store=("test_realtime.py::test_after_a_refusal_one_event_of_a_batch_tries",),
    ),
    Mutant(
        "events-of-anybody-streamed",
        "The stream of another's events is not there",
        "web/events.py",
        '            event = Parameters(call, ("event",)).one("event")\n'
        "            await self._owned.ownership(workflow_id, owner)\n",
        '            event = Parameters(call, ("event",)).one("event")\n',
        http=("test_published.py::test_owners_follow_theirs_and_nobody_elses",),
    ),
    Mutant(
        "events-of-anybody-listed",
        "… nor their list",
        "web/events.py",
        "        await self._owned.ownership(workflow_id, owner)\n        with",
        "        with",
        http=("test_published.py::test_owners_follow_theirs_and_nobody_elses",),
    ),
    Mutant(
        "event-streams-uncounted",
        "A stream of events counts as a call in flight",
        "web/events.py",
        "        with of_calls, of_streams:\n",
        "        if True:\n",
        http=("test_published.py::test_a_stream_counts_as_a_call_until_its_client_leaves",),
    ),
)
