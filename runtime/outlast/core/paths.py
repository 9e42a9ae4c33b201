"""Step ids as paths: `4` is the fourth call of the body, `5.1` the first call of the task that was the fifth.

A branch is a sequence of calls: of the workflow's body, or of a task that it created. Each call and each new
task takes the branch's next number. So the same code gets the same ids, in whatever order its tasks happen to
run. Timers are counted apart: `0.1` is the first one of the body, `5.1.0.1` that of the task `5.1`. The task
that closes an abandoned async generator is a branch among them: `0.2.1`.
"""

from __future__ import annotations

from hashlib import sha256

PATH_CHARS_MAX = 200
"""The longest path of a branch. A longer one is replaced by a hash, which is a number, as all parts are."""


class Branch:
    """A sequence of calls, and the numbers that it has used."""

    __slots__ = ("count", "draws", "prefix", "timers")

    def __init__(self, prefix: str = "") -> None:
        self.prefix = prefix
        self.count = 0
        self.timers = 0
        self.draws = 0

    def next_id(self) -> str:
        """The id of this branch's next call or task."""
        self.count += 1
        return f"{self.prefix}{self.count}"

    def next_timer_id(self) -> str:
        """The id of this branch's next timer."""
        self.timers += 1
        return f"{self.prefix}0.{self.timers}"

    def next_draw(self) -> str:
        """The name of this branch's next random draw."""
        self.draws += 1
        return f"{self.prefix}draw {self.draws}"

    def fork(self) -> Branch:
        """The branch of a task that is created now."""
        # guard: paths-without-branches = self
        return Branch(_bounded(self.next_id()) + ".")


def _bounded(path: str) -> str:
    """A path; its hash, if tasks are nested so deeply that it would be too long for an index."""
    # guard: paths-without-bound = path
    return path if len(path) <= PATH_CHARS_MAX else str(int.from_bytes(sha256(path.encode()).digest()))
