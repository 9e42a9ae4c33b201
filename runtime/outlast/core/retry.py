"""When to retry a failed attempt: exponential backoff with jitter, bounded."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

BACKOFF_MAX_S = 24 * 3600.0
"""The longest wait between two attempts, whatever a function asks for."""

RetryOn = tuple[type[Exception], ...] | Callable[[Exception], bool]


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and when to retry. The n-th wait is in the upper half of `backoff_s * factor**(n-1)`."""

    max_attempts: int = 1
    backoff_s: float = 0.5
    backoff_factor: float = 2.0
    backoff_max_s: float = 60.0
    retry_on: RetryOn = (Exception,)

    def retries(self, error: Exception, attempt: int) -> bool:
        """Whether attempt `attempt` (from 1), which raised `error`, is followed by another one."""
        # guard: retries-for-ever
        if attempt >= self.max_attempts:
            return False
        if isinstance(self.retry_on, tuple):
            return isinstance(error, self.retry_on)
        return bool(self.retry_on(error))

    def wait_s(self, attempt: int, uniform: Callable[[float, float], float] = random.uniform) -> float:
        """Seconds to wait after attempt `attempt` (from 1)."""
        ceiling = min(self.backoff_max_s, BACKOFF_MAX_S)
        try:
            wait = min(ceiling, self.backoff_s * self.backoff_factor ** (attempt - 1))
        except OverflowError:
            wait = ceiling
        return uniform(wait / 2, wait)
