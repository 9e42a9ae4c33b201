"""What a run says at its end: text for whoever ran it, markdown for docs/reliability.md."""

from __future__ import annotations

import subprocess
from collections import Counter
from pathlib import Path

from tests.torture.fleet import LEASE_S
from tests.torture.oracles.takeover import percentile
from tests.torture.oracles.violations import say
from tests.torture.run import Run

_TAIL_LINES = 25
_DETAILED = 5
_NOT_IN_LOG = (
    "Task exception was never retrieved",
    "Traceback",
    "met what it didn't expect",
    "never awaited",
)


def commit() -> str:
    """Which commit was tortured."""
    said = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=Path(__file__).parent, capture_output=True, text=True, check=False
    )  # fmt: skip
    return said.stdout.strip() or "unknown"


def markdown(run: Run) -> str:
    """The figures."""
    outcome, results, told = run.outcome, run.results, run.told
    again = results.reexecutions()
    effects = run.witness.count
    lines = [
        f"One run of {run.wishes.minutes:g} minutes (`make torture`, seed `{run.wishes.seed}`) at commit {commit()}: "
        f"{len(outcome.ways)} instances on one database, their lease {LEASE_S:g} s: "
        + ", ".join(outcome.ways)
        + ".",
        "",
        "| | |",
        "|---|---|",
        f"| Workflows | {sum(results.ended.values()):,} |",
        f"| Faults | {sum(outcome.struck.values()):,} of {len(outcome.struck)} kinds |",
        f"| **Violations** | **{sum(outcome.violations.counts.values())}** |",
        f"| Checks | {outcome.checks:,} |",
        f"| Calls made, answered for good, made again | {told.counts['calls']:,}, {told.counts['answers']:,}, "
        f"{told.counts['retries']:,} |",
        f"| Keys asked once more at the end | {outcome.asked_again:,} of {len(run.clients.all):,} |",
        f"| Step bodies run; beyond their recorded attempts (re-executed) | {effects:,}; {sum(again.values()):,} |",
        f"| All ended after healing within | {outcome.drained_s:.1f} s |",
    ]
    if outcome.censuses is not None:
        first, last = outcome.censuses
        lines.append(
            f"| The instance that lived through it: memory, open files, threads, tasks, sessions | "
            f"{first.memory_mb:.0f} → {last.memory_mb:.0f} MB, {first.files} → {last.files}, "
            f"{first.threads} → {last.threads}, {first.tasks} → {last.tasks}, {first.sessions} → {last.sessions} |"
        )
    lines += ["", "From SIGKILL to the commit of the next claim of what the instance owned:", ""]
    lines += ["| Killed instance | Kills | Workflows | p50 | p99 | longest |", "|---|---|---|---|---|---|"]
    for sessions, quiet in ((True, True), (True, False), (False, True), (False, False)):
        lines.append(_takeover(run, sessions=sessions, quiet=quiet))
    lines += ["", "| Workflow | " + " | ".join(_STATUSES) + " |", "|---|" + "---|" * len(_STATUSES)]
    for kind in sorted({kind for kind, _ in results.ended}):
        lines.append(
            f"| {kind} | " + " | ".join(f"{results.ended[kind, each]:,}" for each in _STATUSES) + " |"
        )
    lines += ["", "| Fault | Times |", "|---|---|"]
    lines += [f"| {name} | {count:,} |" for name, count in outcome.struck.most_common()]
    if outcome.left_out:
        lines += ["", "Left out: " + "; ".join(outcome.left_out) + "."]
    return "\n".join(lines)


_STATUSES = ("SUCCESS", "ERROR", "CANCELLED", "EXHAUSTED")


def _takeover(run: Run, *, sessions: bool, quiet: bool) -> str:
    values = run.takeovers.latencies(sessions=sessions, quiet=quiet)
    kills = sum(1 for kill in run.takeovers.kills if kill.sessions is sessions and (kill.quiet or not quiet))
    figures = [percentile(values, 0.5), percentile(values, 0.99), percentile(values, 1.0)]
    told = " | ".join("–" if each is None else f"{each:.2f} s" for each in figures)
    who = "with sessions" if sessions else "behind the transaction pooler"
    return f"| {who}, {'nothing else at work' if quiet else 'all'} | {kills:,} | {len(values):,} | {told} |"


async def conclude(run: Run) -> None:
    """Print all of it, with the evidence of violations."""
    outcome = run.outcome
    say("")
    say(markdown(run))
    say("")
    for name, count in _of_logs(run).most_common(15):
        say(f"in the hosts' logs, {count} times: {name}")
    for name, count in outcome.unexpected.most_common(15):
        say(f"{count} times: {name}")
    if outcome.missed:
        say(
            "strikes that found nothing to hit: "
            + ", ".join(f"{k} {v}" for k, v in outcome.missed.most_common())
        )
    if not outcome.violations:
        say("no violation")
        return
    say(f"VIOLATIONS: {dict(outcome.violations.counts)}")
    for violation in outcome.violations.kept[:_DETAILED]:
        await _evidence(run, violation.subject.split(" ")[0])
    say("the last faults:\n  " + "\n  ".join(outcome.recent))
    for slot in run.fleet.slots:
        tail = "\n  ".join(slot.said().splitlines()[-_TAIL_LINES:])
        say(f"{slot.name}, the end of {slot.log.name}:\n  {tail}")
    say("Postgres:\n  " + "\n  ".join(run.server.log_tail()))


async def _evidence(run: Run, workflow_id: str) -> None:
    """The rows of one workflow, and who wrote them when."""
    say(f"--- {workflow_id}")
    for query in (
        "select * from outlast.workflow_status where workflow_id = %(id)s",
        "select * from outlast.operation_outputs where workflow_id = %(id)s order by completion_order",
        "select *, pg_xact_commit_timestamp(xid::xid)::text as committed from torture.changes"
        " where workflow_id = %(id)s order by committed, n",
        "select *, pg_xact_commit_timestamp(xid::xid)::text as committed from torture.records"
        " where workflow_id = %(id)s order by committed, n",
        "select *, pg_xact_commit_timestamp(xid::xid)::text as committed from torture.transfers"
        " where workflow_id = %(id)s order by n",
    ):
        for row in await run.server.rows(query, {"id": workflow_id}):
            say(
                "  " + ", ".join(f"{name}={value}" for name, value in row.items() if value is not None)[:1200]
            )
    for (seen, label), runs in run.witness.runs.items():
        if seen == workflow_id:
            say(f"  witness: {label} {runs}")


def _of_logs(run: Run) -> Counter[str]:
    """Lines that no log should hold."""
    found: Counter[str] = Counter()
    for log in run.wishes.folder.glob("host-*.log"):
        for line in log.read_text("utf-8", "replace").splitlines():
            if any(each in line for each in _NOT_IN_LOG) and not line.startswith("Traceback"):
                found[line[9:180]] += 1
    return found
