"""The families of metrics as a table: names, labels, help, buckets. The board and the alerts are held to it.

No label is an id, a key, a user or a message. Seconds are the only unit.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

SERIES_MAX = 500
"""So many sets of labels a family has; what comes beyond is counted as `other`."""

OTHER = "other"

Kind = Literal["counter", "gauge", "histogram"]

_CALLS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 3600.0)
_SPANS = (0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0, 60.0, 300.0, 1800.0, 3600.0, 21_600.0, 86_400.0, 604_800.0)
_WAITS = (0.01, 0.05, 0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0)
_QUICK = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


class Family(NamedTuple):
    """One of them. `buckets` are upper bounds in seconds, without the last one, which is infinite."""

    name: str
    kind: Kind
    labels: tuple[str, ...]
    help: str
    buckets: tuple[float, ...] = ()


_ENDED = "Ends that an instance wrote; not what others end in the database (a cancel, EXHAUSTED)."
_STAYS = "Stays in memory: from a start or a wake to the end, or to a long wait."
_DATABASE_WIDE = "Of the whole database, as each instance sees it: use max, never sum."

STARTED = Family(
    "outlast_workflows_started_total",
    "counter",
    ("function", "trigger"),
    "Workflows that began to run, by what made them.",
)
ENDED = Family("outlast_workflows_ended_total", "counter", ("function", "status"), _ENDED)
DURATION = Family(
    "outlast_workflows_duration_seconds",
    "histogram",
    ("function",),
    "From a workflow's creation to its end, all waits included.",
    _SPANS,
)
ACTIVE = Family("outlast_workflows_active_seconds", "histogram", ("function",), _STAYS, _CALLS)
STEP = Family(
    "outlast_step_duration_seconds",
    "histogram",
    ("function", "step", "outcome"),
    "From the beginning of a step's first attempt to the end of its last.",
    _CALLS,
)
ATTEMPTS = Family(
    "outlast_step_attempts_total",
    "counter",
    ("function", "step"),
    "Attempts of steps. More than steps that ended: some failed and were made again.",
)
QUEUE_WAIT = Family(
    "outlast_queue_wait_seconds",
    "histogram",
    ("queue",),
    "How long a workflow had been ready when its queue let it begin.",
    _WAITS,
)
TICKS = Family(
    "outlast_schedule_ticks_total",
    "counter",
    ("schedule", "outcome"),
    "What became of the ticks of schedules: started, skipped, waits, moved, paused.",
)
TICK_LAG = Family(
    "outlast_schedule_lag_seconds",
    "histogram",
    (),
    "How long after its time a tick was started.",
    _WAITS,
)
CLAIM_LAG = Family(
    "outlast_claim_lag_seconds",
    "histogram",
    (),
    "For how long a workflow outside of queues had been due when it was claimed.",
    _WAITS,
)
COMMIT = Family("outlast_journal_commit_seconds", "histogram", (), "One commit of the journal.", _QUICK)
DEPTH = Family("outlast_journal_depth", "gauge", (), "Workflows that wait for the next commit.")
RECOVERIES = Family(
    "outlast_recoveries_total",
    "counter",
    ("reason",),
    "Workflows of lost instances, made claimable (lease, session) or given up (exhausted).",
)
LOOP_LAG = Family(
    "outlast_event_loop_lag_seconds",
    "histogram",
    (),
    "How long the event loop took to give a sign of life.",
    _QUICK,
)

COUNTED = (
    STARTED,
    ENDED,
    DURATION,
    ACTIVE,
    STEP,
    ATTEMPTS,
    QUEUE_WAIT,
    TICKS,
    TICK_LAG,
    CLAIM_LAG,
    COMMIT,
    DEPTH,
    RECOVERIES,
    LOOP_LAG,
)
"""What an instance counts itself."""

QUEUE_DEPTH = Family(
    "outlast_db_queue_depth",
    "gauge",
    ("queue",),
    f"Workflows that are ready in a queue, counted up to 10,000. {_DATABASE_WIDE}",
)
QUEUE_OLDEST = Family(
    "outlast_db_queue_oldest_seconds",
    "gauge",
    ("queue",),
    f"For how long the one has been ready that has been longest. {_DATABASE_WIDE}",
)
OPEN = Family(
    "outlast_db_workflows_open",
    "gauge",
    ("function", "state"),
    "Workflows that have not ended: running, due, waiting, enqueued; "
    f"up to 20,000 of a state are counted. {_DATABASE_WIDE}",
)
CONNECTIONS = Family(
    "outlast_db_connections", "gauge", ("state",), f"Sessions of this database. {_DATABASE_WIDE}"
)
HELD = Family(
    "outlast_held",
    "gauge",
    ("function", "reason"),
    f"Workflows that are not tried again until somebody acts, or other code comes. {_DATABASE_WIDE}",
)
READ = (QUEUE_DEPTH, QUEUE_OLDEST, OPEN, CONNECTIONS, HELD)
"""What the database is asked for at a scrape."""

DB_UP = Family(
    "outlast_db_up",
    "gauge",
    (),
    "1 if the database answered; else what is read from it is missing.",
)
BUILD = Family("outlast_build_info", "gauge", ("version",), "Always 1, for its label.")

FAMILIES = (*COUNTED, *READ, DB_UP, BUILD)
"""All of them, as a scrape shows them."""
