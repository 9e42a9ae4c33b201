"""Bounds and times of one instance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

DECLARE_S = 5.0
"""How often it is asked whether what this instance's code declares is the newest of those that run."""


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """What the host's settings say to the engine. Seconds end in `_s`."""

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
    """What the values of running workflows may take."""
    retention_s: float = 0.0
    """How long ended workflows of functions that say nothing are kept; 0: for ever."""
    retention_look_s: float = 60.0
    """How often it is looked whether any were kept for long enough."""
    replay_arguments: Literal["warn", "hold", "off"] = "warn"
    """What a replay does that calls a recorded step with other arguments."""
    unserved_s: float = 15.0
    """What is due for so long while no instance has code for it is held."""
    held_max_days: float = 30.0
    """So long a workflow is held; then it ends as ERROR. 0: for ever."""
    watch_bodies: bool = False
    """Whether clocks and chance in bodies are looked for: slow, for development."""
