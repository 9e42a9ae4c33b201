"""How often an address may try a wrong key: some times a minute, after which it must wait."""

from __future__ import annotations

import math
from collections import OrderedDict
from typing import NamedTuple

from outlast.core.clock import monotonic
from outlast.web.http.addresses import caller_address
from outlast.web.http.calls import Call
from outlast.web.http.problems import Problem, ProblemError

WINDOW_S = 60.0
WRONG_MAX = 10
ADDRESSES_MAX = 10_000


class _Tries(NamedTuple):
    began_s: float
    wrong: int


class Guesses:
    """Counts wrong keys by address. It remembers the last ADDRESSES_MAX of them."""

    def __init__(self) -> None:
        self._tries: OrderedDict[str, _Tries] = OrderedDict()

    def check(self, call: Call) -> None:
        """Raises ProblemError (429) for an address that has tried too many."""
        tries = self._current(caller_address(call.scope))
        # guard: keys-guessed-without-end
        if tries.wrong >= WRONG_MAX:
            wait_s = max(1, math.ceil(tries.began_s + WINDOW_S - monotonic()))
            raise ProblemError(
                Problem(
                    "rate_limited",
                    f"{WRONG_MAX} wrong keys came from your address within a minute: "
                    f"wait {wait_s} s, then enter the right one",
                    headers=(("retry-after", str(wait_s)),),
                )
            )

    def wrong(self, call: Call) -> None:
        """Count a wrong key."""
        address = caller_address(call.scope)
        tries = self._current(address)
        self._tries[address] = tries._replace(wrong=tries.wrong + 1)
        self._tries.move_to_end(address)
        if len(self._tries) > ADDRESSES_MAX:
            self._tries.popitem(last=False)

    def _current(self, address: str) -> _Tries:
        now_s = monotonic()
        tries = self._tries.get(address)
        return tries if tries is not None and now_s - tries.began_s < WINDOW_S else _Tries(now_s, 0)
