"""The log: what observations say; never a secret. How a record looks is in `observe.forms`."""

from __future__ import annotations

import logging
import sys
from typing import Any, Literal

from pydantic_core import from_json

from outlast.core import observations as facts
from outlast.core.observations import Observation
from outlast.observe.audit import log_audit
from outlast.observe.forms import JsonFormatter, TextFormatter, name_workflow

_logger = logging.getLogger("outlast")
_requests = logging.getLogger("outlast.requests")


def configure(level: str, form: Literal["text", "json"]) -> None:
    """Send the root logger's records to standard error, in one form."""
    # Where functions have closed standard error, nothing can be told there: that is no reason to fail.
    logging.raiseExceptions = False
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if form == "json" else TextFormatter())
    handler.addFilter(name_workflow)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for noisy in ("httpx", "httpcore", "watchfiles"):
        logging.getLogger(noisy).setLevel(logging.WARNING if level.upper() != "DEBUG" else logging.INFO)
    # The server complains of what clients send, and again of broken answers, which the web floor has logged.
    logging.getLogger("uvicorn").setLevel(logging.CRITICAL)


def log(fact: Observation) -> None:
    """Write an observation to the log: an `Observer`."""
    match fact:
        case facts.WorkflowEnded():
            _log_end(fact)
        case facts.InstanceJoined(instance_id):
            _logger.debug("instance %s has its lease", instance_id)
        case facts.InstanceLost():
            _log_lost(fact)
        case facts.WorkflowsClaimed(workflow_ids):
            count = len(workflow_ids)
            _logger.info("claimed %d workflow%s: %s", count, "s"[: count > 1], _some(workflow_ids))
        case facts.WorkflowStopped(workflow_id, _, reason, detail):
            level = logging.WARNING if reason == "LeaseLost" else logging.DEBUG
            _logger.log(level, "%s left this instance (%s): %s", workflow_id, reason, detail)
        case facts.StepRetried() | facts.ResultChanged() | facts.ArgumentsChanged():
            _log_course(fact)
        case facts.DatabaseLost() | facts.DatabaseFound() | facts.JournalStalled() | facts.JournalMoves():
            _log_absence(fact)
        case (
            facts.DatabaseConnected() | facts.DatabaseRefused() | facts.QueueRefused() | facts.QueueConsumed()
        ):
            _log_use(fact)
        case facts.RealtimeRefused() | facts.RealtimeAccepted():
            _log_realtime(fact)
        case (
            facts.ClaimGivenUp()
            | facts.LoopFailed()
            | facts.LoopBlocked()
            | facts.LoopFreed()
            | facts.LoopInterrupted()
        ):
            _log_loop(fact)
        case (
            facts.FunctionLoaded()
            | facts.FunctionBroken()
            | facts.FunctionDisabled()
            | facts.FunctionDoubtful()
            | facts.CallUnawaited()
            | facts.BodyReads()
        ):
            _log_function(fact)
        case _:
            _log_host(fact)


def _log_host(fact: Observation) -> None:
    """What a host tells of itself rather than of workflows."""
    match fact:
        case facts.RequestAnswered():
            _log_request(fact)
        case facts.RequestsUntold(count):
            _requests.warning("%d more requests were answered that this log leaves out", count)
        case facts.ForwardedUnbelieved(address):
            text = "callers are taken for %s, whose X-Forwarded-For isn't believed: if that is your proxy, %s"
            _requests.warning(text, address, "name it in OUTLAST_TRUSTED_PROXIES")
        case facts.ConnectionsFull(ended, limit):
            text = "%d connections are open, as many as may be: %d were ended or turned away"
            _requests.warning(text, limit, ended)
        case facts.InstanceStopping() | facts.InstanceStopped():
            _log_stop(fact)
        case facts.SchemaMigrated() | facts.SchemaNewer():
            _log_schema(fact)
        case facts.NothingServed(folder):
            _logger.warning("there are no functions in %s yet: `outlast new hello` writes one", folder)
        case facts.SettingsChanged(what):
            _logger.warning("%s changed, and settings are read at the start alone: start anew", what)
        case facts.CallRefused() | facts.CallsRefused() | facts.WorkflowManaged():
            log_audit(fact)
        case _:
            _logger.debug("%r", fact)


def _log_lost(fact: facts.InstanceLost) -> None:
    _logger.warning("instance %s is gone: recovering %d of its workflows", fact.instance_id, fact.recovered)
    for workflow_id in fact.exhausted:
        _logger.error("%s is EXHAUSTED: the instances that ran it were lost too often", workflow_id)


def _log_stop(fact: facts.InstanceStopping | facts.InstanceStopped) -> None:
    if isinstance(fact, facts.InstanceStopped):
        given = f"; {fact.given_back} go on elsewhere" if fact.given_back else ""
        _logger.info("stopped after %.1f s%s", fact.took_s, given)
    elif not fact.workflow_ids:
        _logger.info("stopping: no workflow runs here")
    else:
        count = len(fact.workflow_ids)
        text = "stopping: waiting up to %.0f s for the running steps of %d workflow%s: %s"
        _logger.info(text, fact.drain_s, count, "s"[: count > 1], _some(fact.workflow_ids))


def _log_request(fact: facts.RequestAnswered) -> None:
    """One line a request. `extra` has it in parts."""
    level = logging.WARNING if fact.status is not None and fact.status >= 500 else logging.INFO
    if not _requests.isEnabledFor(level):
        return
    extra = {name: value for name in fact.__slots__ if (value := getattr(fact, name)) is not None}
    extra["duration_s"] = round(fact.duration_s, 6)
    answer = "was not answered: the client went away" if fact.status is None else str(fact.status)
    why = f" {fact.code}" if fact.code else ""
    text = "%s %s %s%s in %.0f ms, from %s"
    took_ms = fact.duration_s * 1_000
    _requests.log(level, text, fact.method, fact.path, answer, why, took_ms, fact.client, extra=extra)


def _log_schema(fact: facts.SchemaMigrated | facts.SchemaNewer) -> None:
    if isinstance(fact, facts.SchemaMigrated):
        _logger.info("applied %s", fact.file)
        return
    text = "the database has migrations that this version of Outlast doesn't know (%s): it is older than the "
    text += "schema; run the version that made it, or a newer one"
    _logger.warning(text, ", ".join(fact.versions))


def _some(workflow_ids: tuple[str, ...]) -> str:
    return ", ".join(workflow_ids[:3]) + (", …" if len(workflow_ids) > 3 else "")


def _log_absence(
    fact: facts.DatabaseLost | facts.DatabaseFound | facts.JournalStalled | facts.JournalMoves,
) -> None:
    if isinstance(fact, facts.JournalStalled | facts.JournalMoves):
        _log_journal(fact)
        return
    if isinstance(fact, facts.DatabaseLost):
        _logger.warning("the database can't be reached (%s): %s; trying again", fact.what, fact.error)
    else:
        _logger.info("the database answers again, after %.1f s", fact.away_s)


def _log_journal(fact: facts.JournalStalled | facts.JournalMoves) -> None:
    if isinstance(fact, facts.JournalMoves):
        _logger.warning("the journal writes again, after %.1f s", fact.stalled_s)
        return
    text = (
        "nothing was written for %.1f s though calls wait for it, and they get 503: look for locks on the "
        "tables of outlast (pg_stat_activity, pg_locks), a full disk, a database that hangs"
    )
    _logger.error(text, fact.stalled_s)


def _log_unawaited(fact: facts.CallUnawaited) -> None:
    whose = f" in {fact.workflow_id}" if fact.workflow_id else ""
    text = "%s(…) was called%s and not awaited, so it did nothing: write `await %s(…)` at %s"
    extra = {"workflow_id": fact.workflow_id} if fact.workflow_id else {}
    _logger.error(text, fact.name, whose, fact.name, fact.place, extra=extra)


def _log_use(
    fact: facts.DatabaseConnected | facts.DatabaseRefused | facts.QueueRefused | facts.QueueConsumed,
) -> None:
    match fact:
        case facts.DatabaseRefused(error, remedy):
            _logger.error("the database can't be used: %s; remedy: %s", " ".join(error.split()), remedy)
        case facts.DatabaseConnected(kind, sessions):
            means = "its sessions are relied on" if sessions else "no session is relied on"
            _logger.info("connected to the database (%s): %s", kind, means)
        case facts.QueueRefused(queue, error, remedy):
            error = " ".join(error.split())
            _logger.error("queue pgmq:%s is not consumed: %s; remedy: %s", queue, error, remedy)
        case facts.QueueConsumed(queue):
            _logger.info("queue pgmq:%s is consumed", queue)


def _log_realtime(fact: facts.RealtimeRefused | facts.RealtimeAccepted) -> None:
    if isinstance(fact, facts.RealtimeAccepted):
        _logger.info("published events reach Realtime again, after %.1f s", fact.refused_s)
        return
    text = "published events don't reach Realtime (they are recorded): %s; remedy: %s"
    _logger.warning(text, " ".join(fact.error.split()), fact.remedy)


def _log_course(fact: facts.StepRetried | facts.ResultChanged | facts.ArgumentsChanged) -> None:
    if isinstance(fact, facts.ArgumentsChanged):
        text = (
            "%s step %s %r: its record is replayed, but %s now calls it with other arguments than it was "
            "called with: what a body passes must be the same each time (OUTLAST_REPLAY_ARGUMENTS)"
        )
        extra = {"workflow_id": fact.workflow_id}
        _logger.warning(text, fact.workflow_id, fact.step_id, fact.name, fact.place, extra=extra)
        return
    if isinstance(fact, facts.ResultChanged):
        text = "%s succeeded; its result is stored as plain JSON: %s"
        _logger.warning(text, fact.workflow_id, fact.reason)
        return
    where = f"{fact.workflow_id} step {fact.step_id} {fact.name!r}"
    text = "%s: attempt %d failed (%s); the next in %.1f s"
    _logger.warning(text, where, fact.attempt, fact.error, fact.wait_s)


def _log_loop(
    fact: facts.ClaimGivenUp | facts.LoopFailed | facts.LoopBlocked | facts.LoopFreed | facts.LoopInterrupted,
) -> None:
    if isinstance(fact, facts.ClaimGivenUp):
        text = "a claim of up to %d workflows took over %.1f s and was given up; the next is smaller"
        _logger.warning(text, fact.room, fact.limit_s)
        return
    if isinstance(fact, facts.LoopFailed):
        _logger.error("the %s loop met what it didn't expect: %s; it goes on", fact.loop, fact.error)
        return
    if isinstance(fact, facts.LoopInterrupted):
        _logger.error("a function tried to end the event loop (%s); it goes on", fact.error)
        return
    whose = f"{fact.workflow_id} at {fact.where}" if fact.workflow_id else fact.where
    if isinstance(fact, facts.LoopBlocked):
        advice = "nothing else runs meanwhile: await what waits, compute in a `def` step"
        _logger.warning("the event loop has been blocked for %.1f s by %s; %s", fact.blocked_s, whose, advice)
    else:
        _logger.warning("the event loop goes on: %s had blocked it for %.1f s", whose, fact.blocked_s)


def _log_function(
    fact: facts.FunctionLoaded
    | facts.FunctionBroken
    | facts.FunctionDisabled
    | facts.FunctionDoubtful
    | facts.CallUnawaited
    | facts.BodyReads,
) -> None:
    if isinstance(fact, facts.CallUnawaited):
        _log_unawaited(fact)
    elif isinstance(fact, facts.BodyReads):
        text = "%s: %s in a workflow's body gives another thing on replay: use %s, or a step (%s)"
        _logger.warning(text, fact.function, fact.what, fact.instead, fact.place)
    elif isinstance(fact, facts.FunctionDisabled):
        _logger.info("%s is not served: supabase/config.toml disables it", fact.function)
    elif isinstance(fact, facts.FunctionDoubtful):
        _logger.warning("function %s: %s", fact.function, fact.advice)
    elif isinstance(fact, facts.FunctionBroken):
        _logger.error("%s can't be served: %s", fact.function, fact.error)
    else:
        done = "reloaded" if fact.reloaded else "loaded"
        _logger.info("%s %s (version %s)", done, fact.function, fact.version)


def _log_end(fact: facts.WorkflowEnded) -> None:
    if fact.error is None and not _logger.isEnabledFor(logging.DEBUG):
        return
    extra = {"workflow_id": fact.workflow_id, "status": fact.status, "duration_s": round(fact.duration_s, 6)}
    if fact.error is None:
        _logger.debug("%s %s in %.3f s", fact.workflow_id, fact.status, fact.duration_s, extra=extra)
        return
    failure = _failure_of(fact.error)
    if failure is None:
        _logger.error("%s failed: %s", fact.workflow_id, fact.error, extra=extra)
    else:
        cause = ": ".join(filter(None, (failure["type"], failure["message"].partition("\n")[0])))
        extra["traceback"] = failure["traceback"].rstrip()
        _logger.error("%s failed: %s", fact.workflow_id, cause, extra=extra)


def _failure_of(error: str) -> dict[str, Any] | None:
    """A failure as `core.failures` records it; None for the plain text of another cause."""
    try:
        document = from_json(error)
    except ValueError:
        return None
    return document if isinstance(document, dict) and "traceback" in document else None
