"""One schedule: instances, workflows, clients and faults; then everything must be well."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

from outlast.core.budget import weigh
from outlast.core.callbacks import NO_SEALS
from outlast.core.errors import OutlastError, WorkflowEnded, WorkflowNotFound
from outlast.core.events import taken_in
from outlast.core.kinds import EVENT, PUBLISH
from outlast.core.messages import message_in
from outlast.core.names import fingerprint_of
from outlast.core.observations import LoopFailed, Observation, ScheduleFailed
from outlast.core.ports import NotNow, Unreachable
from outlast.core.records import Message, NewWorkflow, WorkflowState
from outlast.core.status import LIVE, Status
from outlast.engine.engine import Engine
from outlast.engine.options import EngineOptions
from outlast.testing.catalog import GivenCatalog
from outlast.testing.database import Database
from outlast.testing.rows import Letter, Limits, RowRefused
from outlast.testing.statements.messages import MessageStatements
from outlast.testing.stores import MemoryStore
from tests.quiet import quietly
from tests.simulation.network import PATIENCE_S, Network, SimulatedLink, Unknown
from tests.simulation.plans import LEASE_S, Plan, Refusal
from tests.simulation.programs import Node, interpret, receives_of
from tests.simulation.traces import Traces, current
from tests.simulation.with_sagas import DO, UNDO
from tests.simulation.world import Process, Stuck, World, simulated_time

DRAIN_S = 2.0
WORKFLOWS_MAX = 20
REFUSED_BY_S = 8.0
"""Whatever is to refuse while it runs runs by then, or never."""

_UNKNOWN = (Unknown.__name__, RowRefused.__name__)
UNIX_S = 1_790_000_000.0


@dataclass
class Outcome:
    """What a schedule came to."""

    plan: Plan
    violations: list[str]
    cycles: int
    seconds: float
    statements: int
    digest: int
    workflows: int
    executed: int
    faults: dict[str, int]


class Instance(Process):
    """A process that hosts an engine."""

    engine: Engine
    link: SimulatedLink
    opened = False

    def __init__(self, world: World, name: str, rate: float) -> None:
        super().__init__(world, name, rate)
        self.calls: set[asyncio.Task[None]] = set()


class Scenario:
    """A running schedule."""

    keep_s = 0.0
    """How long ended workflows are kept; 0: for ever."""
    cycles_max = 150_000
    seals: ClassVar = NO_SEALS
    refusable: ClassVar = LIVE
    """In which states rows begin to refuse."""

    def __init__(self, plan: Plan, trace: Callable[[str], None] | None = None) -> None:
        self.plan = plan
        self.world = World(plan.seed, trace=trace)
        world = self.world
        # In every other schedule whatever was lost once is a suspect, in every third there is little memory.
        self.limits = Limits(suspect_after=1 if plan.seed % 2 else 3)
        self.memory_bytes = 4_000 if plan.seed % 3 == 0 else 2**28
        self.database = self._make_database()
        self.network = Network(world, self.database, plan.weather, plan.mishaps)
        self.traces = Traces(world, self.database, leases_only=not plan.weather.sessions)
        self.catalog = GivenCatalog()
        self.catalog.add("interpret", interpret.definition)
        self.faults: dict[str, int] = {}
        self.instances: list[Instance] = []
        self.answers: dict[str, set[tuple[str, str | None]]] = {}
        self.waiting = 0
        self.cancelled: set[str] = set()
        self.left = len(plan.faults)
        self.to_refuse = len(plan.refusals)
        self.refused: set[str] = set()
        """Whose rows have refused, now or before."""
        self.closing = False
        self.posting = 0

    def _make_database(self) -> Database:
        return Database(lambda: UNIX_S + self.world.now, self.world.chance, self.limits)

    # --- instances ----------------------------------------------------------------------------------------

    def begin_instance(self) -> None:
        """A process starts, and opens its engine as a host does."""
        world = self.world
        instance = Instance(world, f"i{len(self.instances) + 1}", world.chance.uniform(0.97, 1.03))
        world.processes.append(instance)
        self.instances.append(instance)
        instance.link = self.network.link(instance)
        instance.spawn(self._open(instance))

    async def _open(self, instance: Instance) -> None:
        store = MemoryStore(self.database, instance.link, instance.name)
        self.network.name_held(store.journal)
        options = EngineOptions(
            lease_ttl_s=LEASE_S, moment_s=self.plan.moment_s, drain_s=DRAIN_S,
            claim_batch=3, workflows_max=WORKFLOWS_MAX,
            suspect_after=self.limits.suspect_after, memory_bytes_max=self.memory_bytes,
            retention_s=self.keep_s, retention_look_s=0.7,
        )  # fmt: skip
        instance.engine = Engine(instance.name, store, self.catalog, self._observe, options, seals=self.seals)
        while not instance.opened:
            try:
                await instance.engine.open()
                instance.opened = True
            except Unreachable:
                await asyncio.sleep(0.2)

    def _observe(self, observation: Observation) -> None:
        if isinstance(observation, LoopFailed | ScheduleFailed) and not observation.error.startswith(
            _UNKNOWN
        ):
            self.world.violation(f"a loop failed: {observation}")

    def living(self) -> list[Instance]:
        """Those that can be called."""
        return [each for each in self.instances if each.alive and each.opened]

    # --- faults -------------------------------------------------------------------------------------------

    def fault(self, kind: str, at: Instance | None = None) -> None:
        """Let something go wrong, with one instance or another."""
        chance, living = self.world.chance, [each for each in self.instances if each.alive]
        if not living:
            return
        self.faults[kind] = self.faults.get(kind, 0) + 1
        instance = at or chance.choice(living)
        self.world.note(f"FAULT {kind} {instance.name}")
        if kind == "kill":
            self.kill(instance)
        elif kind == "freeze":
            instance.freeze(chance.choice([0.05, 1.0, LEASE_S * 1.5, LEASE_S * 3]))
        elif kind == "cut":
            instance.link.cut()
        elif kind == "partition":
            instance.link.partition(chance.choice([0.05, 1.0, LEASE_S * 2]))
        elif kind == "restart":
            self.database.restart()
        elif kind == "stop" and instance.opened:
            instance.opened = False
            instance.spawn(self._stop(instance))
        elif kind == "cancel" and instance.opened:
            instance.spawn(
                self._cancel(instance, f"w{chance.randrange(len(self.plan.programs))}"), instance.calls
            )

    def kill(self, instance: Instance) -> None:
        """SIGKILL; a moment later another process is there."""
        instance.kill()
        instance.link.died()
        self.world.at(self.world.chance.choice([0.01, 0.5, 2.0]), self.begin_instance)

    async def _stop(self, instance: Instance) -> None:
        began = self.world.now
        await instance.engine.close()
        in_time = self.world.now - began < DRAIN_S
        if instance.calls:
            await asyncio.wait(list(instance.calls), timeout=2 * PATIENCE_S)
        left = [each for each in asyncio.all_tasks() if each is not asyncio.current_task()]
        if left and in_time:
            self.world.violation(f"{instance.name} closed, but left {left}")
        self.world.at(0.0, lambda: self._exit(instance))

    def _exit(self, instance: Instance) -> None:
        instance.kill()
        instance.link.died()
        if not self.closing and not self.over():
            self.begin_instance()

    async def _cancel(self, instance: Instance, workflow_id: str) -> None:
        self.cancelled.add(workflow_id)
        try:
            await instance.engine.cancel(workflow_id, "somebody")
        except (OutlastError, NotNow, RowRefused) as error:
            self.world.note(f"cancel: {error!r}")

    def _refuse(self, refusal: Refusal) -> None:
        """From now on a row refuses to be written, until it is let go."""
        rows, refusing = self.database.workflows, self.database.refusing
        free = (each for each in sorted(rows) if each not in refusing)
        found = [each for each in free if rows[each].status in self.refusable]
        if refusal.running:
            found = [each for each in found if rows[each].owner is not None]
            if not found and self.world.now < REFUSED_BY_S:
                self.world.at(0.05, partial(self._refuse, refusal))
                return
        self.to_refuse -= 1
        if found:
            workflow_id = found[int(refusal.place * len(found))]
            self.faults["row refuses"] = self.faults.get("row refuses", 0) + 1
            self.world.note(f"REFUSES {workflow_id}")
            refusing[workflow_id] = refusal.way
            self.refused.add(workflow_id)
            if refusal.lasts_s is not None:
                self.world.at(refusal.lasts_s, partial(self.let_go, workflow_id))

    def let_go(self, workflow_id: str) -> None:
        """Its row refuses no more."""
        self.world.note(f"LETS GO {workflow_id}")
        del self.database.refusing[workflow_id]

    # --- clients ------------------------------------------------------------------------------------------

    def client(self, workflow_id: str, program: Node) -> None:
        """Somebody who wants a workflow to run, and its result: calls again until there is one."""
        living = self.living()

        def again(after_s: float) -> None:
            self.world.at(after_s, lambda: self.client(workflow_id, program))

        if not living:
            again(0.1)
            return
        instance = self.world.chance.choice(living)
        settled = False

        def settle(state: WorkflowState | None) -> None:
            nonlocal settled
            if settled:
                return
            settled = True
            if state is None:
                again(self.world.chance.uniform(0.01, 0.3))
            else:
                self.answers.setdefault(workflow_id, set()).add((state.status, state.output))
                self.waiting -= 1

        async def call() -> None:
            try:
                settle(await self._call(instance.engine, workflow_id, program))
            except OutlastError as error:
                self.world.note(f"client of {workflow_id}: {error!r}")
                settle(None)

        instance.spawn(call(), instance.calls)

        def impatient() -> None:
            if not settled and (not instance.alive or instance.frozen_until > self.world.now):
                settle(None)
            elif not settled:
                self.world.at(1.0, impatient)

        self.world.at(1.0, impatient)

    async def _call(self, engine: Engine, workflow_id: str, program: Node) -> WorkflowState | None:
        text = json.dumps({"plan": program})
        new = NewWorkflow(
            workflow_id,
            "interpret",
            text,
            fingerprint=fingerprint_of("", "", "", b"", text.encode()),
            load_bytes=weigh(text),
        )
        state = await engine.starts.start_new(new, interpret.definition, None)
        if state is None or state.status in LIVE:
            state = await engine.wait(workflow_id, 30.0)
        return state

    def is_gone(self, workflow_id: str) -> bool:
        """Whether it was there, and was removed."""
        return False

    # --- messages -----------------------------------------------------------------------------------------

    def post(self, workflow_id: str, topic: str, number: int) -> None:
        """Somebody sends a message, again and again until it was sent or is too late."""
        chance, text = self.world.chance, f"{topic}{number}"

        def again(after_s: float) -> None:
            self.world.at(after_s, lambda: self.post(workflow_id, topic, number))

        if chance.random() < 0.5:
            try:
                letter = MessageStatements(self.database).post(
                    workflow_id, json.dumps(text), topic, None, late=True
                )
            except WorkflowNotFound:
                if self.is_gone(workflow_id):
                    self.posting -= 1
                else:
                    again(0.1)
            except WorkflowEnded:
                self.posting -= 1
            else:
                self.world.at(chance.choice([0.0, 0.0, 0.3, 3.0]), lambda: self._commit(letter, again))
            return
        living = self.living()
        if not living:
            again(0.1)
            return
        instance = chance.choice(living)
        settled = False

        def settle(sent: bool) -> None:
            nonlocal settled
            if not settled:
                settled = True
                if sent:
                    self.posting -= 1
                else:
                    again(chance.uniform(0.01, 0.3))

        async def call() -> None:
            try:
                await instance.engine.host.send(workflow_id, json.dumps(text), topic, f"key {text}")
            except OutlastError as error:
                self.world.note(f"post to {workflow_id}: {error!r}")
                settle(isinstance(error, WorkflowEnded) or self.is_gone(workflow_id))
            else:
                settle(True)

        instance.spawn(call(), instance.calls)
        self.world.at(chance.choice([1.0, 8.0]), lambda: settle(False))

    def _commit(self, letter: Letter, again: Callable[[float], None]) -> None:
        """The transaction that sent a message ends; one in five is rolled back, and made anew."""
        if self.world.chance.random() < 0.2:
            letter.workflow_id = ""
            again(0.1)
        else:
            letter.visible = True
            self.posting -= 1
            for instance in self.living():
                if self.world.chance.random() < 0.7:
                    self.world.at(self.network.delay_s(), instance.link.told)

    # --- the whole ----------------------------------------------------------------------------------------

    def over(self) -> bool:
        """Whether all that was planned has happened, everybody has an answer, and nothing runs."""
        return (
            not self.left
            and not self.to_refuse
            and not self.database.refusing
            and not self.waiting
            and not self.posting
            and all(row.status not in LIVE for row in self.database.workflows.values())
        )

    def run(self) -> Outcome:
        """Let it happen, and look at what came out."""
        with current(self.traces):
            self.play()
        self.traces.check()
        self._check_results()
        world = self.world
        return Outcome(
            self.plan, list(world.violations), world.cycles, world.now, self.network.sent, world.digest,
            len(self.database.workflows), self.traces.executed, {**self.faults, **self.network.mishaps},
        )  # fmt: skip

    def play(self) -> None:
        """Instances, faults and what else happens, until all is over."""
        world, plan = self.world, self.plan
        with simulated_time(world):
            for _ in range(plan.instances):
                self.begin_instance()
            for after_s, kind in plan.faults:
                world.at(after_s, partial(self._planned, kind))
            for each in plan.refusals:
                world.at(each.after_s, partial(self._refuse, each))
            if plan.at_cycle is not None:
                world.at_cycle = plan.at_cycle[0], self._fault_at_cycle
            self.begin()
            try:
                world.run(self.over, self.cycles_max)
                self.network.calm()
                world.at_cycle = None
                self._check_rest()
            except Stuck as error:
                world.violation(f"{error}: {self._state()}")

    def begin(self) -> None:
        """Clients call, and messages are sent."""
        world = self.world
        for number, program in enumerate(self.plan.programs):
            for _ in range(world.chance.choice([1, 1, 2])):
                self.waiting += 1
                after_s = world.chance.choice([0.0, 0.01, 0.5])
                world.at(after_s, partial(self.client, f"w{number}", program))
            for place, topic in enumerate(receives_of(program)):
                self.posting += 1
                world.at(world.chance.uniform(0, 4), partial(self.post, f"w{number}", topic, place))

    def _planned(self, kind: str) -> None:
        self.left -= 1
        self.fault(kind)

    def _fault_at_cycle(self, process: Process) -> None:
        assert self.plan.at_cycle is not None
        assert isinstance(process, Instance)
        self.fault(self.plan.at_cycle[1], process)

    def _state(self) -> str:
        rows = {
            each: (row.status.value, row.owner, row.epoch, row.claimable_at)
            for each, row in self.database.workflows.items()
            if row.status in LIVE
        }
        live = {each.name: list(each.engine._executor.live) for each in self.living()}
        return f"rows {rows}, live {live}, {self.waiting} clients wait"

    def _check_rest(self) -> None:
        """All is done: look at what came out while instances can still run."""
        self._rest()
        self._check_families()
        self._check_replay()

    def _rest(self) -> None:
        """Instances know of nothing more, and end in order."""
        world = self.world
        for instance in self.instances:
            instance.frozen_until = world.now if instance.alive else 0.0
        self._run_until_all_is_over()
        self._stop_all()

    def _run_until_all_is_over(self) -> None:
        """A child may be on its way when all else is over: a branch that nobody awaits may start one late."""

        def at_rest() -> bool:
            return self.over() and not any(each.engine.running for each in self.living())

        self.world.run(at_rest, self.world.cycles + 20_000)

    def _stop_all(self) -> None:
        """Stop every instance, also those that are only starting."""
        self.closing = True

        def over() -> bool:
            for instance in self.living():
                instance.opened = False
                instance.spawn(self._stop(instance))
            return not any(each.alive for each in self.instances)

        self.world.run(over, self.world.cycles + 20_000)

    def _check_replay(self) -> None:
        """What the records imply is what was returned: run from them again, every body returns the same."""
        self.database.restart()  # a cancellation that is still on its way was for the run before
        rows = {each: row for each, row in self.database.workflows.items() if row.status == "SUCCESS"}
        outputs = {each: row.output for each, row in rows.items()}
        for row in rows.values():
            row.status, row.claimable_at, row.recovery_attempts = Status.PENDING, self.database.now(), 0
        self.closing = False
        self.begin_instance()
        self._run_until_all_is_over()
        self._stop_all()
        for workflow_id, row in rows.items():
            if row.output != outputs[workflow_id]:
                self.world.violation(
                    f"{workflow_id} returned {outputs[workflow_id]}, but its records imply {row.output}"
                )

    def _check_results(self) -> None:
        """What was answered is what is stored; effects are there as often as their records: once."""
        database, world = self.database, self.world
        for workflow_id, row in database.workflows.items():
            if row.owner is not None or row.claimable_at is not None:
                world.violation(
                    f"{workflow_id} ended, but {row.owner} owns it, or it's due {row.claimable_at}"
                )
            for answer in self.answers.get(workflow_id, ()):
                if answer != (row.status, row.output):
                    world.violation(f"{workflow_id}: answered {answer}, stored {row.status} {row.output}")
            if row.status != "SUCCESS" and not self._excused(workflow_id):
                world.violation(f"{workflow_id} ended as {row.status}: {row.error}")
            if row.status == "SUCCESS":
                self._check_output(workflow_id, json.loads(row.output or "[]"))
        self._check_messages()
        self._check_events()
        self._check_sagas()
        payments = [
            (key[0], json.loads(record.step.output or "null"))
            for key, record in database.records.items()
            if record.step.name == "pay" and record.step.error is None
        ]
        payments = [each for each in payments if not self._is_copied(*each)]
        if sorted(payments) != sorted(database.effects):
            world.violation(f"effects {sorted(database.effects)}, but recorded {sorted(payments)}")

    def _excused(self, workflow_id: str) -> bool:
        """Whether it may have ended otherwise than well."""
        return bool(self.cancelled.intersection(self._line(workflow_id)))

    def _is_copied(self, workflow_id: str, payment: str) -> bool:
        """Whether a fork has the record of what another workflow has paid."""
        copied = any(paid == payment and payer != workflow_id for payer, paid in self.database.effects)
        return self.database.workflows[workflow_id].forked_from is not None and copied

    def _check_sagas(self) -> None:
        """Whatever a saga began was undone, and that is recorded once."""
        undone = Counter(
            (key[0], json.loads(record.step.output or '""').partition("#")[0])
            for key, record in self.database.records.items()
            if record.step.name == "work" and record.step.error is None
        )
        for workflow_id, label in sorted(self.traces.begun):
            number = undone[workflow_id, label.removesuffix(DO) + UNDO]
            if label.endswith(DO) and number != 1:
                self.world.violation(f"{workflow_id}: {label} was begun, and undone {number} times")

    def _line(self, workflow_id: str) -> list[str]:
        """It, what has started it and didn't detach it, and so on."""
        line, rows = [workflow_id], self.database.workflows
        while not rows[line[-1]].detached and (parent := rows[line[-1]].new.parent) is not None:
            line.append(parent)
        return line

    def _check_families(self) -> None:
        """What was started by one that was cancelled had ended by then, or was cancelled with it.

        But for what has refused that: it may have ended once it was let go, before somebody came to it again.
        """
        rows = self.database.workflows
        for workflow_id, row in rows.items():
            if self.refused.intersection(self._line(workflow_id)):
                continue
            for each in self._line(workflow_id)[1:]:
                late = row.updated_at > rows[each].updated_at
                if rows[each].status == "CANCELLED" and row.status != "CANCELLED" and late:
                    self.world.violation(f"{workflow_id} went on after {each} had been cancelled")

    def _check_messages(self) -> None:
        """Of each topic the first messages were received, once each."""
        received: dict[tuple[str, str], list[int]] = {}
        for key, record in self.database.records.items():
            if record.step.kind == "receive" and record.step.completion_order:
                message = message_in(record.step.output)
                if message is not None:
                    letter = self._letter(key[0], message)
                    if (letter.number, letter.body, letter.workflow_id) != (
                        message.number,
                        message.body,
                        key[0],
                    ):
                        self.world.violation(f"{key}: received {message}, which is {letter}")
                    received.setdefault((key[0], letter.topic), []).append(message.number)
        for (workflow_id, topic), numbers in received.items():
            sent = sorted(
                each.number or 0
                for each in self.database.letters
                if (each.workflow_id, each.topic) == (workflow_id, topic) and each.number is not None
            )
            if sorted(numbers) != sent[: len(numbers)]:
                self.world.violation(f"{workflow_id} received {numbers} of {topic}, and {sent} were sent")

    def _letter(self, workflow_id: str, message: Message) -> Letter:
        """What it received; a fork has a letter of its own."""
        if self.database.workflows[workflow_id].forked_from is None:
            return self.database.letters[message.message_id - 1]
        return next(
            each
            for each in self.database.letters
            if (each.workflow_id, each.number) == (workflow_id, message.number)
        )

    def _check_events(self) -> None:
        """Of each stream the first events were taken, once each and in their order."""
        published: dict[str, list[tuple[int, str]]] = {}
        taken: dict[tuple[str, str], list[tuple[int, int, str]]] = {}
        ended: set[tuple[str, str]] = set()
        for (workflow_id, _), record in self.database.records.items():
            step = record.step
            if step.kind == PUBLISH and step.completion_order is not None:
                published.setdefault(workflow_id, []).append((step.completion_order, str(step.output)))
            if step.kind == EVENT and step.completion_order is not None and step.error is None:
                found, stream = taken_in(step.output), (workflow_id, step.name)
                if found.event is not None:
                    taken.setdefault(stream, []).append((step.completion_order, *found.event))
                elif found.ended:
                    ended.add(stream)
        for stream in taken.keys() | ended:
            came = sorted(published.get(stream[1].removeprefix("event e of "), []))
            got = [event[1:] for event in sorted(taken.get(stream, []))]
            newest = len(got) == 1 and stream not in ended
            fits = got[0] in came if newest else got == (came if stream in ended else came[: len(got)])
            if not fits:
                self.world.violation(f"{stream} took {got}, and {came} were published")

    def _check_output(self, workflow_id: str, notes: list[str]) -> None:
        """A workflow returned the notes of one of its lives, whose results are all recorded."""
        if not any(each.notes == notes for each in self.traces.lives[workflow_id]):
            self.world.violation(f"{workflow_id} returned {notes}, which no life of it did")
        recorded = self.traces.recorded(workflow_id)
        for each in notes:
            if each.startswith("step ") and each.removeprefix("step ") not in recorded:
                self.world.violation(f"{workflow_id} returned {each!r}, which isn't recorded")


def simulate(plan: Plan, trace: Callable[[str], None] | None = None) -> Outcome:
    """Run one schedule."""
    return quietly(lambda: Scenario(plan, trace).run())
