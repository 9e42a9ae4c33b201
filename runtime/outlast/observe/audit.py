"""The audit log: refusals and management, by a logger of its own, so that it can be sent elsewhere."""

from __future__ import annotations

import logging

from outlast.core import observations as facts

_audit = logging.getLogger("outlast.audit")


def log_audit(fact: facts.CallRefused | facts.CallsRefused | facts.WorkflowManaged) -> None:
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
    level = logging.DEBUG if fact.method in ("GET", "HEAD") else logging.INFO
    extra = {**extra, "status": fact.status}
    _audit.log(level, "managed %s %r by %r from %s: %d", *told, fact.status, extra=extra)
