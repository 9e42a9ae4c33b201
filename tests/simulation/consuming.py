"""Supabase Queues in simulated time: each message becomes one workflow, whatever is killed, frozen or cut.

Of the queues' rules all hold that hold of calls (queueing.py). Operators pause queues and keys, and limit
queues that have no limits in code. Others read messages and hand them back, a backup brings messages back
that were taken, and a queue is missing, locked, or made anew, so that its numbers begin again. Messages are
refused for a while, as by a trigger of the project's: they stay, and others go on.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any, NamedTuple

from outlast import context, sleep, step, workflow
from outlast.core.records import DeclaredQueue
from outlast.core.status import Status
from outlast.core.verbs import PAUSE_QUEUE, RESUME_QUEUE, SET_QUEUE, Verb
from outlast.sdk.queues import PREFIX
from outlast.testing.database import Database
from outlast.testing.pgmq import QueuedMessage, SupabaseQueue
from outlast.testing.rows import RowRefused, Workflow
from outlast.testing.statements.pgmq import MessageQueueStatements
from outlast.testing.statements.queue_verbs import QueueVerbs
from tests.simulation import queueing
from tests.simulation.network import PATIENCE_S
from tests.simulation.plans import Plan
from tests.simulation.queueing import LASTS_S, LOOK_EVERY_S, ROOM_UNUSED_S, Queueing, queues_plan
from tests.simulation.runs import Offered, Runs, here

ACTS = (
    "pause",
    "pause key",
    "pause key",
    "limit",
    "peek",
    "peek",
    "restore",
    "restore",
    "lock",
    "miss",
    "anew",
)
ACT_S_MAX = 3.0
REFUSED_S = (0.1, 2.0, 8.0)
WAITING_MAX = 3
KEYS = "abc"
UNREAD_ROOM = 6
"""With so much room an instance takes messages: see the engine's `Consumer`."""


@step
async def work(length_s: float) -> None:
    """What takes a place."""
    here[0].begun(context().workflow_id)
    await asyncio.sleep(length_s)


@workflow
async def takes(number: int, key: str, naps_s: list[float]) -> int:
    """What a message starts."""
    for nap_s in naps_s:
        await work(nap_s / 4)
        await sleep(nap_s)
    await work(0.01)
    return number


@dataclass(frozen=True)
class Sending:
    """A message that somebody sends, when, where to, and how much later it is to be seen."""

    after_s: float
    queue: str
    body: str
    delay_s: float


@dataclass(frozen=True)
class Act:
    """What is done to a queue, when, to which key, and for how long."""

    after_s: float
    kind: str
    queue: str
    key: str
    lasts_s: float


class Refused(NamedTuple):
    """A message that may not become a workflow: from when on, its place among those there are, how long."""

    after_s: float
    place: float
    lasts_s: float


@dataclass(frozen=True)
class Drawn(queueing.Drawn):
    """What is drawn of a seed."""

    messages: tuple[Sending, ...] = ()
    acts: tuple[Act, ...] = ()
    refused: tuple[Refused, ...] = ()


def draw(seed: int) -> Drawn:
    """Queues of all kinds, and everything at once."""
    chance = random.Random(f"messages of {seed}")
    plan: Plan = queues_plan(chance, f"{seed}:messages")
    queues = tuple(
        DeclaredQueue(f"{PREFIX}q{number}", _options(chance), ("takes",))
        for number in range(chance.choice([1, 1, 2]))
    )
    names = [each.name for each in queues]
    messages = tuple(
        _sending(chance, number, chance.choice(names)) for number in range(chance.randint(5, 40))
    )
    acts = tuple(
        Act(
            chance.uniform(0, LASTS_S), chance.choice(ACTS), chance.choice(names), chance.choice(KEYS),
            chance.choice([0.2, 1.0, ACT_S_MAX]),
        )
        for _ in range(chance.choice([0, 2, 4, 8]))
    )  # fmt: skip
    return Drawn(plan, queues, (), messages, acts, _some_refused(seed))


def _some_refused(seed: int) -> tuple[Refused, ...]:
    """Drawn apart: a seed's other draws are what they are without."""
    chance = random.Random(f"refused messages of {seed}")
    return tuple(
        Refused(chance.uniform(0, LASTS_S / 2), chance.random(), chance.choice(REFUSED_S))
        for _ in range(chance.choice([0, 0, 1, 3, 6]))
    )


def _options(chance: random.Random) -> dict[str, Any]:
    """A third has no limits, a third no key: they take messages in another way each."""
    options, kind = queueing.draw_options(chance), chance.choice(["no limits", "no key", "keys"])
    if kind == "no limits":
        return {}
    if kind == "keys":
        return options
    return {name: value for name, value in options.items() if name in ("concurrency", "per_instance", "rate")}


def _sending(chance: random.Random, number: int, queue: str) -> Sending:
    naps_s = [chance.choice([0.0, 0.05, 0.3, 1.0]) for _ in range(chance.randint(0, 3))]
    body = json.dumps({"number": number, "key": chance.choice(KEYS), "naps_s": naps_s})
    after_s = chance.choice([0.0, chance.uniform(0, LASTS_S / 2)])
    return Sending(after_s, queue, body, chance.choice([0.0, 0.0, 0.0, 0.7]))


class _Offered(Offered):
    """The same, with Supabase Queues."""

    def message_queues(self) -> dict[str, list[str]]:
        return {each.name.removeprefix(PREFIX): ["takes"] for each in self.queues()}


@dataclass
class Sent:
    """A message that was sent: once it is taken it is a copy of what was in its queue."""

    queue: str
    message: QueuedMessage
    restored: bool = False
    born: str | None = None
    """The workflow that it became."""


class Consuming(Queueing):
    """A run with Supabase Queues."""

    cycles_max = 100_000
    called = takes

    def __init__(self, drawn: Drawn, trace: Callable[[str], None] | None) -> None:
        super().__init__(drawn, trace)
        self.catalog = _Offered(takes, queues=drawn.queues)
        self._to_send = drawn.messages
        self._acts = drawn.acts
        self._to_be_refused = drawn.refused
        self.asked = len(drawn.messages) + len(drawn.acts) + len(drawn.refused)
        self._sent: dict[int, Sent] = {}
        self._paused: Counter[tuple[str, str | None]] = Counter()
        """Queues, and keys of them, and how many operators have paused each."""
        self._owners: dict[str, str | None] = {}
        self._backlogs: Counter[str] = Counter()
        """Of each queue how many waited in it, as the last look saw it."""
        self._unread_since: dict[str, float] = {}
        self._visible: dict[int, float] = {}
        self._seen: Counter[str] = Counter()
        self._tables = {each.name: SupabaseQueue() for each in drawn.queues}
        self.database.message_queues = {
            name.removeprefix(PREFIX): table for name, table in self._tables.items()
        }

    def _make_database(self) -> Database:
        self.limits = replace(self.limits, messages_waiting=WAITING_MAX)
        return super()._make_database()

    # --- what happens -------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Messages, acts, and a look now and then whether any wait in vain."""
        super().begin()
        for number, each in enumerate(self._to_send):
            self.world.at(each.after_s, partial(self._send, number, each))
        for act in self._acts:
            self.world.at(act.after_s, partial(self._do, act))
        for refused in self._to_be_refused:
            self.world.at(refused.after_s, partial(self._refuse_message, refused))
        self.world.at(0.0, self._look_for_unread)

    def _send(self, number: int, sending: Sending) -> None:
        message = self._tables[sending.queue].send(sending.body, self.database.date(), sending.delay_s)
        self._sent[number] = Sent(sending.queue, message)
        self._see_messages()
        self.asked -= 1

    def _refuse_message(self, refused: Refused) -> None:
        statements, refusing = MessageQueueStatements(self.database, "trigger"), self.database.refusing
        found = [
            workflow_id
            for each in self._sent.values()
            if each.born is None
            and (workflow_id := statements._named(each.queue, each.message)[0]) not in refusing
        ]
        if not found:
            self.asked -= 1
            return
        workflow_id = found[int(refused.place * len(found))]
        self._seen["message refused"] += 1
        self.world.note(f"REFUSES TO BEGIN {workflow_id}")
        refusing[workflow_id] = RowRefused

        def over() -> None:
            self.world.note(f"LETS BEGIN {workflow_id}")
            del refusing[workflow_id]
            self.asked -= 1

        self.world.at(refused.lasts_s, over)

    def _do(self, act: Act) -> None:
        """Do it, and take it back after a while."""
        self.world.note(f"ACT {act.kind} {act.queue}")
        back = self._begin_act(act)
        self._see_messages()
        if back is None:
            self.asked -= 1
            return
        self._seen[act.kind] += 1

        def over() -> None:
            self.world.note(f"OVER {act.kind} {act.queue}")
            back()
            self._see_messages()
            self._settled_at = max(self._settled_at, self.world.now + ROOM_UNUSED_S)
            self.asked -= 1

        self.world.at(act.lasts_s, over)

    def _begin_act(self, act: Act) -> Callable[[], object] | None:
        """How it is taken back; None where it does not apply."""
        table = self._tables[act.queue]
        if act.kind == "pause":
            return self._pause(act.queue, None)
        if act.kind == "pause key":
            return self._pause(act.queue, act.key) if "key" in self._options[act.queue] else None
        if act.kind == "limit":
            return self._limit(act.queue)
        if act.kind == "peek":
            return self._peek(table, act.lasts_s)
        if act.kind == "restore":
            return self._restore(act.queue, table)
        if act.kind == "anew":
            return self._make_anew(table)
        if act.kind == "lock" and not table.locked:
            return self._lock(table)
        return self._miss(act.queue) if act.kind == "miss" else None

    def _operate(self, verb: Verb, queue: str, given: Mapping[str, Any]) -> None:
        """As by SQL."""
        QueueVerbs(self.database).act(verb, queue, given, "ann")

    def _pause(self, queue: str, key: str | None) -> Callable[[], None]:
        given = {} if key is None else {"key": key}
        self._operate(PAUSE_QUEUE, queue, given)
        self._paused[queue, key] += 1

        def resume() -> None:
            self._paused[queue, key] -= 1
            if not self._paused[queue, key]:
                self._operate(RESUME_QUEUE, queue, given)

        return resume

    def _limit(self, queue: str) -> Callable[[], object] | None:
        """Of a queue without limits in code. What runs already goes on."""
        if self._options[queue]:
            return None
        self._operate(SET_QUEUE, queue, {"rate": {"n": 2, "per": 1.0}})
        self._starts.clear()  # it counts from now on
        self._options[queue] = {"rate": {"n": 2, "per": 1.0}}

        def take_back() -> None:
            self._operate(SET_QUEUE, queue, {"rate": None})
            self._options[queue] = {}

        return take_back

    def _peek(self, table: SupabaseQueue, hidden_s: float) -> Callable[[], object]:
        """Somebody else reads some, and hands them back or lets their time pass."""
        chance = self.world.chance
        found = table.read(
            self.database.now(), chance.choice([hidden_s / 2, hidden_s, 5.0]), chance.randint(1, 4)
        )

        def hand_back() -> None:
            for each in found:
                if each.msg_id in table.messages:
                    each.visible_at = self.database.now()

        return hand_back

    def _restore(self, queue: str, table: SupabaseQueue) -> Callable[[], object] | None:
        """A backup brings a message back that was taken."""
        taken = [
            each
            for each in self._sent.values()
            if each.born and each.queue == queue and each.message.msg_id not in table.messages
        ]
        if not taken:
            return None
        sent = self.world.chance.choice(taken)
        sent.restored = True
        table.messages[sent.message.msg_id] = replace(sent.message, visible_at=self.database.now())
        return lambda: None

    def _make_anew(self, table: SupabaseQueue) -> Callable[[], object] | None:
        """It is dropped, where nothing is lost by that, and created: its numbers begin again."""
        if table.messages:
            return None
        table.drop()
        return lambda: None

    def _lock(self, table: SupabaseQueue) -> Callable[[], object]:
        table.locked = True

        def free() -> None:
            table.locked = False
            self._settled_at = max(self._settled_at, self.world.now + 2 * ACT_S_MAX)

        return free

    def _miss(self, queue: str) -> Callable[[], object] | None:
        """It isn't there, as where a role may not use it."""
        name = queue.removeprefix(PREFIX)
        if name not in self.database.message_queues:
            return None
        table = self.database.message_queues.pop(name)

        def create() -> None:
            self.database.message_queues[name] = table
            self._settled_at = max(self._settled_at, self.world.now + 2 * ACT_S_MAX)

        return create

    # --- what must hold -----------------------------------------------------------------------------------

    def begun(self, workflow_id: str) -> None:
        """A step begins. Leases that end by a clock that jumps tell nothing."""
        if "jump" not in self.faults:
            self.check_epoch(workflow_id)

    def _look(self) -> None:
        """At every moment."""
        super()._look()
        self._check_births()
        self._check_messages_are_somewhere()
        for workflow_id, row in self.database.workflows.items():
            if row.owner is not None and self._owners.get(workflow_id) is None:
                self._check_pauses(workflow_id, row)
            self._owners[workflow_id] = row.owner
        self._backlogs = Counter(
            str(row.new.queue)
            for row in self.database.workflows.values()
            if row.owner is None and row.claimable_at is not None
        )
        self._see_messages()

    def _see_messages(self) -> None:
        self._visible = {
            number: each.message.visible_at for number, each in self._sent.items() if not each.born
        }

    def _check_births(self) -> None:
        """Of what messages have become since the last look."""
        rows = self.database.workflows
        new = [each for each in rows if each not in self._owners]
        for queue in {rows[each].new.queue or "" for each in new}:
            self._check_taking(queue, [each for each in new if rows[each].new.queue == queue])
        for workflow_id in new:
            number = json.loads(rows[workflow_id].new.input or "{}")["number"]
            sent = self._sent[number]
            if workflow_id in self.database.refusing:
                self.world.violation(f"{workflow_id} refuses to begin, and is there")
            if sent.born is not None:
                self.world.violation(f"message {number} became {sent.born}, and {workflow_id} too")
            sent.born = workflow_id
            early_s = self._visible.get(number, 0.0) - self.database.now()
            if early_s > 0:
                self.world.violation(f"{workflow_id} began {early_s} s before its message was to be seen")
            self._check_attributes(workflow_id, sent.message, rows[workflow_id])

    def _check_taking(self, queue: str, born: list[str]) -> None:
        options, before = self._options[queue], self._backlogs[queue]
        if self._paused[queue, None]:
            self.world.violation(f"{queue} is paused, and {born} were taken from it")
        if options and before >= options.get("max_backlog", before + 1):
            self.world.violation(f"{queue} is full with {before}, and {born} were taken from it")
        if options and "key" not in options:
            waiting = [each for each, row in self._of(queue) if self._waits(row)]
            if len(waiting) > WAITING_MAX:
                self.world.violation(f"of {queue} {waiting} wait, {born} among them")
        if not options and any(self.database.workflows[each].owner is None for each in born):
            self.world.violation(f"{queue} has no limits, and {born} wait for their turn")

    def _check_attributes(self, workflow_id: str, message: QueuedMessage, row: Workflow) -> None:
        told = json.loads(row.attributes or "{}")
        if (told["msg_id"], datetime.fromisoformat(told["enqueued_at"])) != (
            message.msg_id,
            message.enqueued_at,
        ):
            self.world.violation(f"{workflow_id} is told {told} of {message}")

    def _check_messages_are_somewhere(self) -> None:
        """Each is in its queue, or is a workflow; but for what a backup brings back it is never both."""
        for number, sent in self._sent.items():
            there = self._tables[sent.queue].messages.get(sent.message.msg_id)
            waits = there is not None and there.enqueued_at == sent.message.enqueued_at
            if sent.born is None and not waits:
                self.world.violation(f"message {number} of {sent.queue} is lost")
                sent.born = "nothing"
            elif sent.born is not None and waits and not sent.restored:
                self.world.violation(f"message {number} is {sent.born}, and in its queue")

    def _check_pauses(self, workflow_id: str, row: Workflow) -> None:
        """Somebody has begun it, or goes on with it."""
        queue = str(row.new.queue)
        for key in (None, row.new.queue_key):
            if self._paused[queue, key]:
                self.world.violation(f"{workflow_id} goes on, and {queue} {key or ''} is paused")

    def _might_begin(self, name: str, options: Any) -> Iterator[str]:
        """See Queueing. What is paused stands still."""
        if not self._paused[name, None]:
            for workflow_id in super()._might_begin(name, options):
                if not self._paused[name, self.database.workflows[workflow_id].new.queue_key]:
                    yield workflow_id

    def _look_for_unread(self) -> None:
        """Whether a message stays in its queue though there is room for it, and that for too long."""
        patience_s = ROOM_UNUSED_S + (PATIENCE_S if self.plan.weather.mishap else 0.0)
        for queue in self._tables:
            message = self._unread(queue) if self.helpers(UNREAD_ROOM) else None
            if message is None:
                self._unread_since.pop(queue, None)
                continue
            since = max(self._unread_since.setdefault(queue, self.world.now), self._settled_at)
            if self.world.now - since > patience_s:
                self.world.violation(f"{queue}: {message} stays since {since}, and there is room")
                self._unread_since.pop(queue)
        if not self.over():
            self.world.at(LOOK_EVERY_S, self._look_for_unread)

    def _unread(self, queue: str) -> QueuedMessage | None:
        """One that could be taken."""
        table, options, now = self._tables[queue], self._options[queue], self.database.now()
        if (
            self._paused[queue, None]
            or table.locked
            or queue.removeprefix(PREFIX) not in self.database.message_queues
        ):
            return None
        waiting = [row for _, row in self._of(queue) if row.owner is None and row.claimable_at is not None]
        if options and len(waiting) >= min(
            options.get("max_backlog", len(waiting) + 1), self._bound(options)
        ):
            return None
        return next((each for each in table.messages.values() if each.visible_at <= now), None)

    def _bound(self, options: Mapping[str, Any]) -> float:
        return float("inf") if "key" in options else WAITING_MAX

    # --- the whole ----------------------------------------------------------------------------------------

    def over(self) -> bool:
        """See Run. No message is left."""
        return super().over() and not any(each.messages for each in self._tables.values())

    def check(self) -> None:
        """Each message has become one workflow, which has succeeded and was given what the message said."""
        ended = Counter(
            json.loads(row.output or "null")
            for row in self.database.workflows.values()
            if row.status is Status.SUCCESS
        )
        if ended != Counter(range(len(self._to_send))):
            self.world.violation(f"of {len(self._to_send)} messages these have ended: {ended}")

    def seen(self) -> Counter[str]:
        """What was done to queues, and which workflows bear another id for theirs was taken."""
        timed = sum(each.count(":") == 3 for each in self.database.workflows)
        again = sum(
            json.loads(row.attributes or "{}")["read_ct"] > 1 for row in self.database.workflows.values()
        )
        return self._seen + Counter(timed=timed, again=again)


RUNS = Runs(draw, Consuming)
