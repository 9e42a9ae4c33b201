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
_ROW_CHARS = 1_200
_LAST_CHARS = 300
_NOT_IN_LOG = ("Task exception was never retrieved", "met what it didn't expect", "never awaited")
_OUR_OWN = "misfortune"
_STATUSES = ("SUCCESS", "ERROR", "CANCELLED", "EXHAUSTED")


def commit() -> str:
    """Which commit was tortured."""
    said = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"],
        cwd=Path(__file__).parent, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return said.stdout.strip() or "unknown"


def markdown(run: Run) -> str:
    """The figures."""
    outcome = run.outcome
    lines = [
        f"{run.wishes.minutes:g} minutes of faults, seed `{run.wishes.seed}`, commit {commit()}. "
        f"{len(outcome.ways)} instances on one database, their lease {LEASE_S:g} s: "
        f"{', '.join(outcome.ways)}.",
        "",
        *_table(("", ""), _totals(run)),
        "",
        "From SIGKILL to the commit of the next claim of each workflow that the instance owned:",
        "",
        *_table(("Killed instance", "Kills", "Workflows", "p50", "p99", "longest"), _takeovers(run)),
        "",
        *_table(("Workflow", *_STATUSES), _endings(run)),
        "",
        *_table(("Fault", "Times"), [(name, f"{count:,}") for name, count in outcome.struck.most_common()]),
    ]
    if outcome.left_out:
        lines += ["", f"Left out: {'; '.join(outcome.left_out)}."]
    return "\n".join(lines)


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> list[str]:
    return [f"| {' | '.join(row)} |" for row in (head, ("---",) * len(head), *rows)]


def _totals(run: Run) -> list[tuple[str, ...]]:
    outcome, told = run.outcome, run.told.counts
    again = sum(run.results.reexecutions().values())
    rows: list[tuple[str, ...]] = [
        ("Workflows", f"{sum(run.results.ended.values()):,}"),
        ("Faults", f"{sum(outcome.struck.values()):,} of {len(outcome.struck)} kinds"),
        ("**Violations**", f"**{sum(outcome.violations.counts.values())}**"),
        ("Checks", f"{outcome.checks:,}"),
        ("Calls made; answered for good", f"{told['calls']:,}; {told['answers']:,}"),
        ("Calls made again by clients; lost on the way", f"{told['retries']:,}; {told['lost calls']:,}"),
        ("Cancels asked for", f"{told['cancels']:,}"),
        ("Keys asked once more at the end", f"{outcome.asked_again:,} of {len(run.clients.all):,}"),
        ("Step bodies that ran", f"{run.witness.count:,}"),
        ("… of them beyond the recorded attempts (re-executed)", f"{again:,}"),
        ("After healing all had ended within", f"{outcome.drained_s:.1f} s"),
    ]
    if outcome.censuses is not None:
        first, last = outcome.censuses
        rows += [
            (
                "The instance that was never killed: memory",
                f"{first.memory_mb:.0f} → {last.memory_mb:.0f} MB",
            ),
            ("… its open files, threads", f"{first.files} → {last.files}, {first.threads} → {last.threads}"),
            ("… its tasks, sessions", f"{first.tasks} → {last.tasks}, {first.sessions} → {last.sessions}"),
        ]
    return rows


def _takeovers(run: Run) -> list[tuple[str, ...]]:
    rows = []
    for sessions in (True, False):
        for quiet in (True, False):
            values = run.takeovers.latencies(sessions=sessions, quiet=quiet)
            kills = [each for each in run.takeovers.kills if each.sessions is sessions]
            count = sum(1 for each in kills if each.quiet or not quiet)
            who = "with sessions" if sessions else "behind the transaction pooler"
            figures = [percentile(values, part) for part in (0.5, 0.99, 1.0)]
            told = ["–" if each is None else f"{each:.2f} s" for each in figures]
            weather = "nothing else at work" if quiet else "all, other faults at work or not"
            rows.append((f"{who}, {weather}", f"{count:,}", f"{len(values):,}", *told))
    return rows


def _endings(run: Run) -> list[tuple[str, ...]]:
    ended = run.results.ended
    kinds = sorted({kind for kind, _ in ended})
    return [(kind, *(f"{ended[kind, status]:,}" for status in _STATUSES)) for kind in kinds]


async def conclude(run: Run) -> None:
    """Print all of it, with the evidence of violations."""
    outcome = run.outcome
    say(f"\n{markdown(run)}\n")
    for name, count in _of_logs(run).most_common(15):
        say(f"in the hosts' logs, {count} times: {name}")
    for name, count in outcome.unexpected.most_common(15):
        say(f"{count} times: {name}")
    if outcome.missed:
        missed = ", ".join(f"{name} {count}" for name, count in outcome.missed.most_common())
        say(f"strikes that found nothing to hit: {missed}")
    if not outcome.violations:
        say("no violation")
        return
    say("Postgres:\n  " + "\n  ".join(run.server.log_tail()))
    for slot in run.fleet.slots:
        tail = "\n  ".join(slot.said().splitlines()[-_TAIL_LINES:])
        say(f"{slot.name}, the end of {slot.log.name}:\n  {tail}")
    say("the last faults:\n  " + "\n  ".join(outcome.recent))
    for violation in outcome.violations.kept[:_DETAILED]:
        await _show(run, violation.subject.split(" ")[0])
    # Last, as some logs keep the end alone.
    for violation in outcome.violations.kept[:_DETAILED]:
        say(f"VIOLATION {violation.what}: {violation.subject}\n    {violation.seen[:_LAST_CHARS]}")
    say(f"VIOLATIONS: {dict(outcome.violations.counts)}")


async def _show(run: Run, workflow_id: str) -> None:
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
            told = ", ".join(f"{name}={value}" for name, value in row.items() if value is not None)
            say(f"  {told[:_ROW_CHARS]}")
    for (seen, label), runs in run.witness.runs.items():
        if seen == workflow_id:
            say(f"  witness: {label} {runs}")


def _of_logs(run: Run) -> Counter[str]:
    """Lines that no log should hold."""
    found: Counter[str] = Counter()
    for log in run.wishes.folder.glob("host-*.log"):
        for line in log.read_text("utf-8", "replace").splitlines():
            if any(each in line for each in _NOT_IN_LOG) and _OUR_OWN not in line:
                found[line[9:180]] += 1
    return found
