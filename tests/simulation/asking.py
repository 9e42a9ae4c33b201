"""Callbacks in simulated time: people answer links, some twice, and old ones too, while workflows go back.

As retrying.py, of whose rules all hold here too. A question may be another one each time it is made anew. In
the end a workflow got answers to its own questions alone, each once, and what was said to be sent is there.
At no moment has a link taken more answers than it may.
"""

from __future__ import annotations

import json
import random
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, ClassVar

from outlast import callback, context, receive, sleep, step, workflow
from outlast.core.callbacks import Link, Seals
from outlast.core.errors import KeyReused, OutlastError, WorkflowEnded, WorkflowNotFound
from outlast.core.ports import Unreachable
from outlast.testing.rows import RowRefused
from tests.simulation import retrying
from tests.simulation.retrying import FAULTS, LASTS_S, Drawn, Retrying, some_acts, work
from tests.simulation.runs import PATIENCE_S, Offered, Runs, a_plan, here
from tests.simulation.scenario import Instance

VARIANTS = 3
"""So many questions are there of a name: what is asked anew is often the same."""

EXPIRES_S = 1_000_000.0

Given = list[Any]
"""A name, how many answers it takes (0: any number; two are waited for), how often it fails, and a nap."""


@step
async def choose(name: str) -> str:
    return str(here[0].choose(name))


@step
async def mail(url: str, topic: str, uses: int) -> None:
    here[0].mailed(context().workflow_id, url, topic, uses)


@workflow
async def asks(items: list[Given]) -> list[Any]:
    got = []
    for name, uses, fails, nap_s in items:
        topic = await choose(name)
        await mail(await callback(topic, uses=uses or None, expires=EXPIRES_S), topic, uses)
        if nap_s:
            await sleep(nap_s)
        got.append([topic, [await receive(topic) for _ in range(uses or 2)]])
        await work(name, fails)
    return got


@dataclass
class Sent:
    """A link that somebody has, and what came of its answers."""

    workflow_id: str
    link: Link
    topic: str
    uses: int
    taken: set[str] = field(default_factory=set)
    """Answers of which it was said that they are sent."""


def draw(seed: int) -> Drawn:
    """Workflows that ask, and everything at once."""
    chance = random.Random(f"callbacks of {seed}")
    plan = a_plan(chance, f"{seed}:callbacks", FAULTS, LASTS_S)
    calls = tuple(
        (chance.choice([0.0, 0.3]), "asks", {"items": _items(chance)})
        for _ in range(chance.choice([1, 1, 2]))
    )
    acts = some_acts(chance, len(calls), ["retry", "rewind", "rewind"], [3, 8, 12])
    return replace(retrying.draw(seed), plan=plan, calls=calls, acts=acts)


def _items(chance: random.Random) -> list[Given]:
    return [
        [
            f"q{place}",
            chance.choice([1, 1, 2, 0]),
            chance.choice([0, 0, 1, 2]),
            chance.choice([0.0, 0.0, 0.6]),
        ]
        for place in range(chance.choice([1, 2, 3]))
    ]


class Asking(Retrying):
    """A run in which people answer."""

    seals: ClassVar = Seals(("a secret",), "http://here")

    def __init__(self, drawn: Drawn, trace: Callable[[str], None] | None) -> None:
        super().__init__(drawn, trace)
        self.catalog = Offered(asks)
        self._mailed: dict[str, Sent] = {}
        self._looked_at = 0

    def choose(self, name: str) -> str:
        """What is asked at this moment."""
        return f"{name}-{self.world.chance.randrange(VARIANTS)}"

    # --- people -------------------------------------------------------------------------------------------

    def mailed(self, workflow_id: str, url: str, topic: str, uses: int) -> None:
        """Somebody has the link, and answers it: by several people, each of them perhaps twice."""
        if url in self._mailed:
            return
        link = self.seals.open(url.rpartition("/")[2])
        assert link is not None
        sent = self._mailed[url] = Sent(workflow_id, link, topic, uses)
        chance = self.world.chance
        for person in range((uses or 2) + chance.choice([0, 1, 2])):
            body = json.dumps(f"{topic} by {person} to {len(self._mailed)}")
            for _ in range(chance.choice([1, 1, 2])):
                self.world.at(
                    chance.choice([0.05, 0.5, 3.0, 6.0]),
                    partial(self._answer, sent, body, f"person {person}"),
                )

    def _answer(self, sent: Sent, body: str, request: str) -> None:
        """Again and again, until it is known what came of it."""
        living, open_ = self.living(), [True]

        def again() -> None:
            if open_:
                open_.clear()
                self.world.at(0.3, partial(self._answer, sent, body, request))

        if not living:
            again()
            return
        instance = self.world.chance.choice(living)
        instance.spawn(self._answering(instance, sent, body, request, again, open_.clear), instance.calls)
        self.world.at(PATIENCE_S, again)  # the instance may be gone, and the request with it

    async def _answering(
        self,
        instance: Instance,
        sent: Sent,
        body: str,
        request: str,
        again: Callable[[], None],
        done: Callable[[], None],
    ) -> None:
        try:
            taken = await instance.engine.host.answer(sent.link, body, request)
        except WorkflowEnded:  # it may be retried
            again()
        except WorkflowNotFound:
            done()
            self.acted["over"] += 1
        except KeyReused:
            done()
            self.acted["answered otherwise"] += 1
        except (Unreachable, OutlastError, RowRefused):
            again()
        else:
            done()
            self.acted["answered" if taken else "used"] += 1
            if taken:
                sent.taken.add(body)

    # --- what must hold -----------------------------------------------------------------------------------

    def _look_at_ends(self) -> None:
        super()._look_at_ends()
        letters = self.database.letters
        if len(letters) == self._looked_at:
            return
        self._looked_at = len(letters)
        used = Counter((each.workflow_id, (each.key or "").rpartition(":")[0]) for each in letters)
        most = self._most()
        for (workflow_id, question), number in used.items():
            if number > most[workflow_id, question]:
                self.world.violation(f"{question} of {workflow_id} took {number} answers")

    def _most(self) -> dict[tuple[str, str], float]:
        """How many answers each question takes, whatever links there are of it."""
        most: dict[tuple[str, str], float] = defaultdict(float)
        for each in self._mailed.values():
            question = f"callback:{each.link.step_id}:{each.link.mark}"
            most[each.workflow_id, question] = each.uses or float("inf")
        return most

    def check(self) -> None:
        """What was got was asked for and given, once each; what was said to be sent is there."""
        for _, new in self.calls:
            got = json.loads(self.database.workflows[new.workflow_id].output or "[]")
            names = [name for name, *_ in json.loads(new.input or "")["items"]]
            if [topic.partition("-")[0] for topic, _ in got] != names:
                self.world.violation(f"{new.workflow_id} returned {got}, and was to ask {names}")
            for topic, answers in got:
                if any(not each.startswith(f"{topic} by ") for each in answers) or len(set(answers)) < len(
                    answers
                ):
                    self.world.violation(f"{new.workflow_id} asked {topic}, and got {answers}")
        there = {(each.workflow_id, each.body) for each in self.database.letters}
        for sent in self._mailed.values():
            for body in sent.taken:
                if (sent.workflow_id, body) not in there:
                    self.world.violation(f"{body} was taken for {sent.workflow_id}, and is gone")


RUNS = Runs(draw, Asking)
