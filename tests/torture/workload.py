"""Which calls the clients make: kinds of workflows with their inputs, drawn from the seed."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

ACCOUNTS = 64
Body = dict[str, Any]


@dataclass(frozen=True)
class Order:
    """One workflow to be called for."""

    kind: str
    key: str
    body: Body

    @property
    def function(self) -> str:
        """The name that it is served under."""
        return f"load/{self.kind}"

    @property
    def workflow_id(self) -> str:
        """The id that its key stands for."""
        return f"{self.function}:{self.key}"

    @property
    def quoted_id(self) -> str:
        """As a path has it."""
        return quote(self.workflow_id, safe=":~")


def _move(rng: random.Random) -> tuple[int, int, int]:
    source, target = rng.sample(range(1, ACCOUNTS + 1), 2)
    return source, target, rng.randint(1, 50)


def _nap(rng: random.Random) -> float:
    """Below the hosts' moment it stays in memory, above it is suspended."""
    return round(rng.choice((rng.uniform(0.0, 0.04), rng.uniform(0.06, 0.8))), 3)


def _pay(rng: random.Random) -> Body:
    return {"moves": [_move(rng) for _ in range(rng.randint(1, 3))]}


def _order(rng: random.Random) -> Body:
    return {"move": _move(rng), "pause_s": _nap(rng)}


def _naps(rng: random.Random) -> Body:
    return {"naps": [_nap(rng) for _ in range(rng.randint(1, 3))]}


def _lane(rng: random.Random) -> Body:
    return {"lane": f"lane-{rng.randrange(12)}", "naps": [_nap(rng) for _ in range(rng.randint(0, 2))]}


def _fan(rng: random.Random) -> Body:
    width = rng.randint(2, 4)
    return {
        "form": rng.choice(("gather", "group", "completed")),
        "moves": [_move(rng) for _ in range(width)],
        "pauses": [round(rng.uniform(0.0, 0.5), 3) for _ in range(width)],
    }


def _shake(rng: random.Random) -> Body:
    return {"odds": [rng.choice((0.0, 0.3, 0.6)) for _ in range(rng.randint(1, 3))]}


def _family(rng: random.Random) -> Body:
    return {"moves": [_move(rng) for _ in range(rng.randint(1, 3))]}


def _mapped(rng: random.Random) -> Body:
    return {"moves": [_move(rng) for _ in range(rng.randint(5, 15))], "concurrency": rng.randint(1, 6)}


def _many(rng: random.Random) -> Body:
    return {"moves": [_move(rng) for _ in range(rng.randint(1, 9))]}


def _undone(rng: random.Random) -> Body:
    moves = [_move(rng) for _ in range(rng.randint(1, 4))]
    return {"moves": moves, "pause_s": round(rng.uniform(0.0, 2.0), 3), "fails": rng.random() < 0.4}


def _asked(rng: random.Random) -> Body:
    return {"patience_s": round(rng.choice((rng.uniform(0.1, 1.0), rng.uniform(1.0, 15.0))), 3)}


def _teller(rng: random.Random) -> Body:
    return {"naps": [_nap(rng) for _ in range(rng.randint(1, 8))]}


def _limited(rng: random.Random) -> Body:
    pauses = [round(rng.uniform(0.0, 0.5), 3) for _ in range(rng.randint(1, 3))]
    return {"pauses": pauses, "patience_s": round(rng.uniform(0.0, 1.0), 3)}


def _fail(rng: random.Random) -> Body:
    return {"pause_s": _nap(rng)}


_KINDS: dict[str, tuple[int, Callable[[random.Random], Body]]] = {
    "pay": (30, _pay),
    "order": (18, _order),
    "nap": (8, _naps),
    "fan": (14, _fan),
    "shake": (8, _shake),
    "family": (8, _family),
    "mapped": (3, _mapped),
    "many": (3, _many),
    "fail": (6, _fail),
    "undone": (6, _undone),
    "threaded": (8, _order),
    "asked": (4, _asked),
    "teller": (3, _teller),
    "listener": (3, _teller),
    "lanes": (6, _lane),
    "alone": (6, _lane),
    "paced": (6, _lane),
    "limited": (6, _limited),
}
KINDS = (*_KINDS, "leaf", "piece")


class Orders:
    """All that will be called for, one after the other: the seed tells."""

    def __init__(self, seed: str) -> None:
        self._rng = random.Random(f"orders {seed}")
        self._seed = seed
        self._made = 0

    def next(self) -> Order:
        """The next one."""
        rng = self._rng
        kind = rng.choices(list(_KINDS), [weight for weight, _ in _KINDS.values()])[0]
        self._made += 1
        key = f"{self._seed}-{self._made}"
        return Order(kind, key, {"key": key, **_KINDS[kind][1](rng)})
