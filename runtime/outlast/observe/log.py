"""The log: a line for each observation, without secrets. `observe.forms` has the form of records."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Callable
from functools import partial
from logging import DEBUG, ERROR, INFO, WARNING
from typing import Any, Literal

from pydantic_core import from_json

from outlast.core import observations as facts
from outlast.core.holds import side_by_side
from outlast.core.observations import Observation
from outlast.core.status import Status
from outlast.observe.forms import JsonFormatter, TextFormatter, name_workflow
from outlast.observe.kept_lines import KeptLines, LinesHandler, Printed

_logger = logging.getLogger("outlast")
_requests = logging.getLogger("outlast.requests")
_audit = logging.getLogger("outlast.audit")
"""Refusals and management, by a logger of its own, so that they can go elsewhere."""

_LINE_BREAK = re.compile(r"\s*\n\s*")

_LINES: dict[type[Observation], tuple[int, str] | tuple[int, str, logging.Logger]] = {
    facts.InstanceJoined: (DEBUG, "instance %(instance_id)s has its lease"),
    facts.WorkflowStarted: (DEBUG, "%(workflow_id)s is started (%(trigger)s)"),
    facts.WorkflowEnqueued: (DEBUG, "%(workflow_id)s waits to begin (%(trigger)s)"),
    facts.WorkflowResumed: (DEBUG, "%(workflow_id)s is back after a long time"),
    facts.CallWaited: (DEBUG, "a caller has waited %(duration_s).3f s for %(workflow_id)s"),
    facts.DatabaseLost: (WARNING, "the database can't be reached (%(what)s): %(error)s; trying again"),
    facts.DatabaseFound: (INFO, "the database answers again, after %(away_s).1f s"),
    facts.DatabaseRefused: (ERROR, "the database can't be used: %(error)s; remedy: %(remedy)s"),
    facts.JournalStalled: (
        ERROR,
        "nothing was written for %(stalled_s).1f s though calls wait for it, and they get 503: look for "
        "locks on the tables of outlast (pg_stat_activity, pg_locks), a full disk, a database that hangs",
    ),
    facts.JournalMoves: (WARNING, "the journal writes again, after %(stalled_s).1f s"),
    facts.QueueUndecided: (
        ERROR,
        "queue %(queue)s can't decide what begins, and is asked again: %(error)s",
    ),
    facts.QueueRefused: (ERROR, "queue pgmq:%(queue)s is not consumed: %(error)s; remedy: %(remedy)s"),
    facts.MessageSetAside: (
        ERROR,
        "message %(message_id)s of queue pgmq:%(queue)s becomes no workflow: %(error)s; it stays in the "
        "queue and is tried again ever more seldom, others go on; remedy: %(remedy)s",
    ),
    facts.ScheduleDeclared: (INFO, "schedule %(schedule)s is %(change)s"),
    facts.ScheduleTicked: (DEBUG, "schedule %(schedule)s: %(outcome)s (%(workflow_id)s)"),
    facts.WorkflowsRemoved: (INFO, "removed %(count)d ended workflows (OUTLAST_RETENTION_DAYS)"),
    facts.ScheduleFailed: (
        ERROR,
        "schedule %(schedule)s: a %(what)s fails: %(error)s; it is tried again, other schedules go on",
    ),
    facts.ScheduleUnusable: (ERROR, "schedule %(schedule)s can't tick: %(error)s; change or delete it"),
    facts.QueueConsumed: (INFO, "queue pgmq:%(queue)s is consumed"),
    facts.RealtimeAccepted: (INFO, "published events reach Realtime again, after %(refused_s).1f s"),
    facts.RealtimeRefused: (
        WARNING,
        "published events don't reach Realtime (they are recorded): %(error)s; remedy: %(remedy)s",
    ),
    facts.StepRetried: (
        WARNING,
        "%(workflow_id)s step %(step_id)s %(name)r: attempt %(attempt)d failed (%(error)s); "
        "the next in %(wait_s).1f s",
    ),
    facts.UndoFailed: (
        WARNING,
        "%(workflow_id)s: %(undo)s, which undoes %(step)s, failed (%(error)s); "
        "it is tried again in %(wait_s).0f s, for 24 hours in all",
    ),
    facts.UndoGivenUp: (
        ERROR,
        "%(workflow_id)s: %(undo)s, which undoes %(step)s, failed for 24 hours (%(error)s); %(step)s stands",
    ),
    facts.ResultChanged: (
        WARNING,
        "%(workflow_id)s succeeded; its result is stored as plain JSON: %(reason)s",
    ),
    facts.ArgumentsChanged: (
        WARNING,
        "%(workflow_id)s step %(step_id)s %(name)r: its record is replayed, but %(place)s now calls it with "
        "other arguments than it was called with: what a body passes must be the same each time "
        "(OUTLAST_REPLAY_ARGUMENTS)",
    ),
    facts.ClaimGivenUp: (
        WARNING,
        "a claim of up to %(room)d workflows took over %(limit_s).1f s and was given up; the next is smaller",
    ),
    facts.WriteHeldUp: (
        WARNING,
        "somebody holds the row of %(workflow_id)s in an open transaction: nothing of it is written yet",
    ),
    facts.RowsRefused: (
        ERROR,
        "a trigger or a constraint keeps the rows of %(workflow_ids)s as they are (the log of Postgres has "
        "the error): these workflows stand still, and are tried again ever more seldom",
    ),
    facts.LoopFailed: (ERROR, "the %(loop)s loop met what it didn't expect: %(error)s; it goes on"),
    facts.LoopInterrupted: (ERROR, "a function tried to end the event loop (%(error)s); it goes on"),
    facts.FunctionBroken: (ERROR, "%(function)s can't be served: %(error)s"),
    facts.CallbackUnreadable: (
        ERROR,
        "%(function)s: a callback's link can't be answered: its answers must fit %(type)s, which %(file)s "
        "has no more; give it that name again, and keep it until the links have expired",
    ),
    facts.HeldFreed: (INFO, "other code came: %(count)d workflows that were held go on"),
    facts.FunctionDisabled: (INFO, "%(function)s is not served: supabase/config.toml disables it"),
    facts.FunctionDoubtful: (WARNING, "function %(function)s: %(advice)s"),
    facts.BodyReads: (
        WARNING,
        "%(function)s: %(what)s in a workflow's body gives another thing on replay: "
        "use %(instead)s, or a step (%(place)s)",
    ),
    facts.SchemaMigrated: (INFO, "applied %(files)s"),
    facts.NothingServed: (
        WARNING,
        "there are no functions in %(folder)s yet: `outlast new hello` writes one",
    ),
    facts.SettingsChanged: (
        WARNING,
        "%(what)s changed, and settings are read at the start alone: start anew",
    ),
    facts.RequestsUntold: (
        WARNING,
        "%(count)d more requests were answered that this log leaves out",
        _requests,
    ),
    facts.ForwardedUnbelieved: (
        WARNING,
        "callers are taken for %(address)s, whose X-Forwarded-For isn't believed: if that is your proxy, "
        "name it in OUTLAST_TRUSTED_PROXIES",
        _requests,
    ),
    facts.ConnectionsFull: (
        WARNING,
        "%(limit)d connections are open, as many as may be: %(ended)d were ended or turned away",
        _requests,
    ),
}
"""Facts that are told by their fields alone: the level, the text, and the logger."""


def configure(level: str, form: Literal["text", "json"]) -> None:
    """Send the root logger's records to standard error, in this form."""
    # If functions have closed standard error, nothing can be told there. That is no reason to fail.
    logging.raiseExceptions = False
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if form == "json" else TextFormatter())
    handler.addFilter(name_workflow)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for noisy in ("httpx", "httpcore", "watchfiles"):
        logging.getLogger(noisy).setLevel(logging.WARNING if level.upper() != "DEBUG" else logging.INFO)
    # Uvicorn complains about what clients send, and again about broken answers, which the web floor has
    # logged.
    logging.getLogger("uvicorn").setLevel(logging.CRITICAL)


def keep_lines(lines: KeptLines) -> None:
    """Keep what workflows log and print, from now on."""
    logging.getLogger().addHandler(LinesHandler(lines))
    sys.stdout = Printed(sys.stdout, "stdout", lines)
    sys.stderr = Printed(sys.stderr, "stderr", lines)


def log(fact: Observation) -> None:
    """Write an observation to the log: an `Observer`."""
    if (tell := _TELL.get(type(fact))) is not None:
        tell(fact)
    elif _logger.isEnabledFor(DEBUG):
        _logger.debug("%r", fact)


def _log_line(line: tuple[int, str] | tuple[int, str, logging.Logger], fact: Observation) -> None:
    level, text, logger = line if len(line) == 3 else (*line, _logger)
    if not logger.isEnabledFor(level):
        return
    fields = {name: getattr(fact, name) for name in type(fact).__struct_fields__}
    extra = {name: fields[name] for name in ("workflow_id", "step_id", "attempt") if fields.get(name)}
    if (stay := fields.get("stay")) is not None:
        extra["trace_id"] = stay.trace_id
    said = {
        name: _LINE_BREAK.sub(" ", value) if isinstance(value, str) else value
        for name, value in fields.items()
    }
    logger.log(level, text, said, extra=extra)


def _log_claims(fact: facts.WorkflowsClaimed) -> None:
    # A first start is logged at debug level: a map has many items. Others were lost, handed over or woken.
    begun = set(fact.begun)
    again = tuple(each for each in fact.workflow_ids if each not in begun)
    ids = again or fact.workflow_ids
    level = INFO if again else DEBUG
    _logger.log(level, "claimed %d workflow%s: %s", len(ids), "s"[: len(ids) > 1], _first_ones(ids))


def _log_leave(fact: facts.WorkflowStopped) -> None:
    level = WARNING if fact.reason == "LeaseLost" else DEBUG
    _logger.log(level, "%s left this instance (%s): %s", fact.workflow_id, fact.reason, fact.detail)


def _log_held(fact: facts.WorkflowHeld) -> None:
    _logger.warning("%s is held: %s", fact.workflow_id, side_by_side(fact.detail))


def _log_lost(fact: facts.InstanceLost) -> None:
    text = "instance %s is gone: recovering %d of its workflows"
    if ", " in fact.instance_id:
        text = "instances %s are gone: recovering %d of their workflows"
    _logger.warning(text, fact.instance_id, fact.recovered)
    for workflow_id in fact.exhausted:
        _logger.error("%s is EXHAUSTED: the instances that ran it were lost too often", workflow_id)


def _log_stopping(fact: facts.InstanceStopping) -> None:
    if not fact.workflow_ids:
        _logger.info("stopping: no workflow runs here")
        return
    count = len(fact.workflow_ids)
    text = "stopping: waiting up to %.0f s for the running steps of %d workflow%s: %s"
    _logger.info(text, fact.drain_s, count, "s"[: count > 1], _first_ones(fact.workflow_ids))


def _log_stopped(fact: facts.InstanceStopped) -> None:
    given = f"; {fact.given_back} go on elsewhere" if fact.given_back else ""
    _logger.info("stopped after %.1f s%s", fact.took_s, given)


def _log_request(fact: facts.RequestAnswered) -> None:
    """One line for a request. `extra` has its parts."""
    level = WARNING if fact.status is not None and fact.status >= 500 else INFO
    if not _requests.isEnabledFor(level):
        return
    extra = {name: value for name in fact.__struct_fields__ if (value := getattr(fact, name)) is not None}
    extra["duration_s"] = round(fact.duration_s, 6)
    answer = "was not answered: the client went away" if fact.status is None else str(fact.status)
    why = f" {fact.code}" if fact.code else ""
    text = "%s %s %s%s in %.0f ms, from %s"
    took_ms = fact.duration_s * 1_000
    _requests.log(level, text, fact.method, fact.path, answer, why, took_ms, fact.client, extra=extra)


def _log_newer_schema(fact: facts.SchemaNewer) -> None:
    text = "the database has migrations that this version of Outlast doesn't know (%s): it is older than the "
    text += "schema; run the version that made it, or a newer one"
    _logger.warning(text, ", ".join(fact.versions))


def _log_connected(fact: facts.DatabaseConnected) -> None:
    means = "its sessions are relied on" if fact.sessions else "no session is relied on"
    _logger.info("connected to the database (%s): %s", fact.kind, means)


def _log_unawaited(fact: facts.CallUnawaited) -> None:
    whose = f" in {fact.workflow_id}" if fact.workflow_id else ""
    text = "%s(…) was called%s and not awaited, so it did nothing: write `await %s(…)` at %s"
    extra = {"workflow_id": fact.workflow_id} if fact.workflow_id else {}
    _logger.error(text, fact.name, whose, fact.name, fact.place, extra=extra)


def _log_blocked(fact: facts.LoopBlocked) -> None:
    advice = "nothing else runs meanwhile: await what waits, compute in a `def` step"
    text = "the event loop has been blocked for %.1f s by %s; %s"
    _logger.warning(text, fact.blocked_s, _name_culprit(fact), advice)


def _log_freed(fact: facts.LoopFreed) -> None:
    text = "the event loop goes on: %s had blocked it for %.1f s"
    _logger.warning(text, _name_culprit(fact), fact.blocked_s)


def _name_culprit(fact: facts.LoopBlocked | facts.LoopFreed) -> str:
    return f"{fact.workflow_id} at {fact.where}" if fact.workflow_id else fact.where


def _log_loaded(fact: facts.FunctionLoaded) -> None:
    done = "reloaded" if fact.reloaded else "loaded"
    _logger.info("%s %s (version %s)", done, fact.function, fact.version)


def _log_end(fact: facts.WorkflowEnded) -> None:
    if fact.error is None and not _logger.isEnabledFor(DEBUG):
        return
    extra = {"workflow_id": fact.workflow_id, "status": fact.status, "duration_s": round(fact.duration_s, 6)}
    if fact.stay is not None:
        extra["trace_id"] = fact.stay.trace_id
    if fact.error is None:
        _logger.debug("%s %s in %.3f s", fact.workflow_id, fact.status, fact.duration_s, extra=extra)
        return
    failure = _read_failure(fact.error)
    if fact.status == Status.CANCELLED:  # because somebody asked for it
        cause = fact.error if failure is None else failure["message"].partition("\n")[0]
        _logger.info("%s is cancelled: %s", fact.workflow_id, cause, extra=extra)
    elif failure is None:
        _logger.error("%s failed: %s", fact.workflow_id, fact.error, extra=extra)
    else:
        cause = ": ".join(filter(None, (failure["type"], failure["message"].partition("\n")[0])))
        extra["traceback"] = failure["traceback"].rstrip()
        _logger.error("%s failed: %s", fact.workflow_id, cause, extra=extra)


def _log_audit(fact: facts.CallRefused | facts.CallsRefused | facts.WorkflowManaged) -> None:
    """One line. Values from callers are quoted, so that they can't begin a line of the log."""
    if isinstance(fact, facts.CallsRefused):
        counts = ", ".join(f"{count} {code}" for code, count in fact.by_code)
        text = "more calls in the last %.0f s, not told one by one: %s"
        _audit.warning(text, fact.window_s, counts, extra={"counts": dict(fact.by_code)})
        return
    extra: dict[str, str | int] = {
        "who": fact.who,
        "address": fact.address,
        "method": fact.method,
        "path": fact.path,
    }
    told = (fact.method, fact.path, fact.who, fact.address)
    if isinstance(fact, facts.CallRefused):
        _audit.warning(
            "refused %s %r of %r from %s: %s", *told, fact.code, extra={**extra, "code": fact.code}
        )
        return
    level = DEBUG if fact.method in ("GET", "HEAD") else INFO
    extra = {**extra, "status": fact.status}
    _audit.log(level, "managed %s %r by %r from %s: %d", *told, fact.status, extra=extra)


_TOLD: dict[type[Observation], Callable[[Any], None]] = {
    facts.WorkflowsClaimed: _log_claims,
    facts.WorkflowStopped: _log_leave,
    facts.WorkflowHeld: _log_held,
    facts.WorkflowEnded: _log_end,
    facts.InstanceLost: _log_lost,
    facts.InstanceStopping: _log_stopping,
    facts.InstanceStopped: _log_stopped,
    facts.RequestAnswered: _log_request,
    facts.SchemaNewer: _log_newer_schema,
    facts.DatabaseConnected: _log_connected,
    facts.CallUnawaited: _log_unawaited,
    facts.LoopBlocked: _log_blocked,
    facts.LoopFreed: _log_freed,
    facts.FunctionLoaded: _log_loaded,
    facts.CallRefused: _log_audit,
    facts.CallsRefused: _log_audit,
    facts.WorkflowManaged: _log_audit,
}
"""Facts whose line needs more than their fields."""

_TELL: dict[type[Observation], Callable[[Any], None]] = {
    **{kind: partial(_log_line, line) for kind, line in _LINES.items()},
    **_TOLD,
    facts.LoopLooked: lambda _: None,  # told several times a second
}


def _first_ones(workflow_ids: tuple[str, ...]) -> str:
    return ", ".join(workflow_ids[:3]) + (", …" if len(workflow_ids) > 3 else "")


def _read_failure(error: str) -> dict[str, Any] | None:
    """A failure as `core.failures` records it; None if it is another cause, in plain text."""
    try:
        document = from_json(error)
    except ValueError:
        return None
    return document if isinstance(document, dict) and "traceback" in document else None
