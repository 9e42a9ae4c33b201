"""The log: what observations say to people (text) or to programs (one JSON object a line); never a secret."""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime
from typing import Any, Literal

from pydantic_core import from_json, to_json

from outlast.core import observations as facts
from outlast.core.observations import Observation
from outlast.observe.redaction import redactor

_logger = logging.getLogger("outlast")
_OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def configure(level: str, form: Literal["text", "json"]) -> None:
    """Send the root logger's records to standard error, in one form."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if form == "json" else TextFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for noisy in ("httpx", "httpcore", "watchfiles"):
        logging.getLogger(noisy).setLevel(logging.WARNING if level.upper() != "DEBUG" else logging.INFO)
    # The server complains of what clients send, and again of broken answers, which the web floor has logged.
    logging.getLogger("uvicorn").setLevel(logging.CRITICAL)


class TextFormatter(logging.Formatter):
    """`12:34:56 level text`, with the traceback below: of an exception, or a recorded one beside the text."""

    def format(self, record: logging.LogRecord) -> str:
        """One record as text."""
        time = datetime.fromtimestamp(record.created, UTC).astimezone().strftime("%H:%M:%S")
        text = f"{time} {record.levelname.lower():<7} {record.getMessage()}"
        if record.exc_info:
            text += "\n" + self.formatException(record.exc_info)
        elif recorded := getattr(record, "traceback", None):
            text += f"\n{recorded}"
        return redactor.redact(text)


class JsonFormatter(logging.Formatter):
    """One object a line: time, level, logger, message, and what the record carries beside."""

    def format(self, record: logging.LogRecord) -> str:
        """One record as JSON."""
        document = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **{key: value for key, value in vars(record).items() if key not in _OWN},
        }
        if record.exc_info:
            document["traceback"] = self.formatException(record.exc_info)
        return redactor.redact(to_json(document, fallback=repr).decode())


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
            some = ", ".join(workflow_ids[:3]) + (", …" if len(workflow_ids) > 3 else "")
            _logger.info("claimed %d workflow%s: %s", len(workflow_ids), "s"[: len(workflow_ids) > 1], some)
        case facts.WorkflowStopped(workflow_id, _, reason, detail):
            level = logging.WARNING if reason == "LeaseLost" else logging.DEBUG
            _logger.log(level, "%s left this instance (%s): %s", workflow_id, reason, detail)
        case facts.StepRetried() | facts.ResultChanged():
            _log_course(fact)
        case facts.DatabaseLost() | facts.DatabaseFound():
            _log_absence(fact)
        case (
            facts.DatabaseConnected() | facts.DatabaseRefused() | facts.QueueRefused() | facts.QueueConsumed()
        ):
            _log_use(fact)
        case facts.RealtimeRefused() | facts.RealtimeAccepted():
            _log_realtime(fact)
        case facts.LoopFailed() | facts.LoopBlocked() | facts.LoopFreed() | facts.LoopInterrupted():
            _log_loop(fact)
        case (
            facts.FunctionLoaded()
            | facts.FunctionBroken()
            | facts.FunctionDisabled()
            | facts.FunctionDoubtful()
        ):
            _log_function(fact)
        case _:
            _logger.debug("%r", fact)


def _log_lost(fact: facts.InstanceLost) -> None:
    _logger.warning("instance %s is gone: recovering %d of its workflows", fact.instance_id, fact.recovered)
    for workflow_id in fact.exhausted:
        _logger.error("%s is EXHAUSTED: the instances that ran it were lost too often", workflow_id)


def _log_absence(fact: facts.DatabaseLost | facts.DatabaseFound) -> None:
    if isinstance(fact, facts.DatabaseLost):
        _logger.warning("the database can't be reached (%s): %s; trying again", fact.what, fact.error)
    else:
        _logger.info("the database answers again, after %.1f s", fact.away_s)


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


def _log_course(fact: facts.StepRetried | facts.ResultChanged) -> None:
    if isinstance(fact, facts.ResultChanged):
        text = "%s succeeded; its result is stored as plain JSON: %s"
        _logger.warning(text, fact.workflow_id, fact.reason)
        return
    where = f"{fact.workflow_id} step {fact.step_id} {fact.name!r}"
    text = "%s: attempt %d failed (%s); the next in %.1f s"
    _logger.warning(text, where, fact.attempt, fact.error, fact.wait_s)


def _log_loop(
    fact: facts.LoopFailed | facts.LoopBlocked | facts.LoopFreed | facts.LoopInterrupted,
) -> None:
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
    fact: facts.FunctionLoaded | facts.FunctionBroken | facts.FunctionDisabled | facts.FunctionDoubtful,
) -> None:
    if isinstance(fact, facts.FunctionDisabled):
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
