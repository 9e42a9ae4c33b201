"""Bounds and times of one instance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

DECLARE_S = 5.0
"""How often to check whether this instance's declarations are the newest of the running instances."""


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """The host's settings for the engine. Names in `_s` are seconds."""

    lease_ttl_s: float = 10.0
    tick_s: float = 0.6
    moment_s: float = 1.0
    drain_s: float = 20.0
    database_wait_s: float = 5.0
    workflows_max: int = 1_000
    claim_batch: int = 200
    suspect_after: int = 3
    threads_max: int = 64
    journal_depth_max: int = 20_000
    memory_bytes_max: int = 256 * 1024 * 1024
    """The memory that the values of running workflows may use."""
    retention_s: float = 0.0
    """How long ended workflows are kept if their function doesn't say. 0: for ever."""
    retention_look_s: float = 60.0
    """How often to look for workflows that were kept long enough."""
    replay_arguments: Literal["warn", "hold", "off"] = "warn"
    """What happens when a replay calls a recorded step with other arguments."""
    unserved_s: float = 15.0
    """A workflow that is due for this long, while no instance has code for it, is held."""
    held_max_days: float = 30.0
    """A workflow that is held for this long ends as ERROR. 0: never."""
    watch_bodies: bool = False
    """Whether to watch for reads of clocks and randomness in bodies. Slow: for development."""
