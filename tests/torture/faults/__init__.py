"""All faults. A new one is a class of `Fault` in one of the modules here, and a place in this tuple."""

from __future__ import annotations

from tests.torture.faults import database, network, processes
from tests.torture.faults.field import Fault

FAULTS: tuple[type[Fault], ...] = (
    processes.Killed,
    processes.KilledInCommit,
    processes.Frozen,
    processes.Stuttering,
    processes.Terminated,
    processes.ClockJumped,
    network.CutOne,
    network.CutAll,
    network.AnswerCut,
    network.CommitCut,
    network.ClaimLost,
    network.Slow,
    network.BlackHole,
    network.HalfOpen,
    network.Late,
    network.Refused,
    network.PoolerReloaded,
    network.PoolerPaused,
    network.PoolerRestarted,
    database.SessionEnded,
    database.LeaseSessionEnded,
    database.JournalSessionEnded,
    database.StatementCancelled,
    database.BackendCrashed,
    database.PostgresKilled,
    database.PostgresStopped,
    database.RowsLocked,
    database.TableLocked,
    database.AccountsLocked,
    database.Conflicts,
    database.Errors,
    database.DiskFull,
)
