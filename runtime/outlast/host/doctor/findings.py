"""The table of all kinds of findings: a row for each, with what is wrong and how to mend it."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

Level = Literal["wrong", "note"]


class Kind(NamedTuple):
    """A kind of finding. `{…}` in its texts is replaced with the values found.

    `sql` is a statement that mends it, `command` a command of `outlast` that does. The remedy shows it in
    backticks.
    """

    id: str
    level: Level
    what: str
    remedy: str
    sql: str = ""
    command: str = ""


KINDS: tuple[Kind, ...] = (
    # --- settings, files, keys
    Kind("bad_setting", "wrong", "{error}", "change it as the line says; nothing starts before"),
    Kind("unknown_setting", "wrong", "{warning}", "correct the name, or remove it"),
    Kind(
        "callers_unverified",
        "wrong",
        "OUTLAST_VERIFY_JWT is false, and the host listens on {host}: whoever reaches it may call anything",
        "set OUTLAST_VERIFY_JWT=true, or listen on 127.0.0.1",
    ),
    Kind(
        "short_lease",
        "wrong",
        "OUTLAST_LEASE_TTL_S is {lease_s:g}: a pause of the network makes others take over",
        "set it to 5 or more",
    ),
    Kind("functions_missing", "wrong", "{error}", "make the folder, or set OUTLAST_FUNCTIONS to where it is"),
    Kind(
        "no_functions",
        "wrong",
        "there are no functions in {folder}",
        "run `outlast {command}`",
        command="new hello",
    ),
    Kind("function_broken", "wrong", "{name} can't be served: {error}", "mend the file"),
    Kind(
        "key_readable",
        "wrong",
        "{path} holds a secret, and others on this machine may read it",
        "run `chmod 600 {path}`",
    ),
    Kind(
        "no_secret_key",
        "wrong",
        "no secret key is set, so nobody can manage workflows",
        "set SUPABASE_SECRET_KEY to a secret key from the project's API settings",
    ),
    Kind(
        "no_token_keys",
        "wrong",
        "nothing is set by which tokens of users are verified, and {functions} asks for them",
        "set SUPABASE_URL, SUPABASE_JWKS or SUPABASE_JWT_SECRET",
    ),
    Kind(
        "kept_for_ever",
        "note",
        "ended workflows are kept for ever; the oldest ended {days:.0f} days ago",
        "set OUTLAST_RETENTION_DAYS, unless that is wanted",
    ),
    # --- the database
    Kind("database_unreachable", "wrong", "the database can't be reached: {error}", "{cure}"),
    Kind(
        "database_old",
        "wrong",
        "the database is Postgres {version}",
        "move to Postgres 15 or newer: nothing older is tested",
    ),
    Kind(
        "read_only",
        "wrong",
        "the database takes no writes",
        "connect to the primary; if its default was set: `{sql}`",
        sql='alter database "{database}" reset default_transaction_read_only',
    ),
    Kind(
        "clock_skew",
        "wrong",
        "the database's clock and this machine's are {skew_s:.0f} s apart",
        "set this machine's clock by NTP: times in logs and tokens are of its own",
    ),
    Kind(
        "pooler_for_sessions",
        "wrong",
        "OUTLAST_DB_SESSIONS is true, and SUPABASE_DB_URL has the transaction pooler's "
        "port: sessions there aren't ours",
        "unset OUTLAST_DB_SESSIONS, or take the direct URL (port 5432)",
    ),
    Kind(
        "connections_short",
        "wrong",
        "{used} of the server's {most} connections are in use",
        "lower OUTLAST_DB_CONNECTIONS, run fewer instances, or use the transaction pooler (port 6543)",
    ),
    Kind(
        "wraparound_near",
        "wrong",
        "the database's oldest transaction id is {age:,} old, and it stops at 2,100,000,000",
        "run `{sql}`, and see what keeps autovacuum from it (a long transaction, a replication slot)",
        sql="vacuum freeze",
    ),
    Kind(
        "long_transaction",
        "wrong",
        "a transaction of {user} ({application}) has been open for {age_s:.0f} s: "
        "nothing that died since can be vacuumed",
        "end it: `{sql}`",
        sql="select pg_terminate_backend({pid})",
    ),
    Kind(
        "lock_waited_for",
        "wrong",
        "session {pid} has waited for {age_s:.0f} s for a lock on a table of outlast that {by} holds",
        "end the holder: `{sql}`",
        sql="select pg_terminate_backend({by})",
    ),
    # --- the schema
    Kind(
        "migrations_pending",
        "wrong",
        "the database lacks {count} migrations, the first is {first}",
        "run `outlast {command}`",
        command="db migrate",
    ),
    Kind(
        "schema_newer",
        "note",
        "the database has a migration that this version doesn't know: {version}",
        "upgrade outlast here; if it was never released: `{sql}`",
        sql="delete from outlast.schema_migrations where version = '{version}'",
    ),
    Kind(
        "index_missing",
        "wrong",
        "the index {index} is missing: what needs it reads the whole table",
        "run `{sql}`",
        sql="{make}",
    ),
    Kind(
        "index_invalid",
        "wrong",
        "the index {index} was not built to its end, and is used for nothing",
        "run `{sql}`",
        sql="reindex index outlast.{index}",
    ),
    Kind(
        "rights_missing",
        "wrong",
        "{user} may not {rights} outlast.{table}",
        "as its owner run `{sql}`",
        sql='grant {rights} on outlast.{table} to "{user}"',
    ),
    Kind(
        "rows_hidden",
        "wrong",
        "row level security hides the rows of outlast's tables from {user}",
        "connect as their owner, or as a superuser run `{sql}`",
        sql='alter role "{user}" bypassrls',
    ),
    Kind(
        "open_to_callers",
        "wrong",
        "{role} may use outlast.{table}: whoever calls the Data API is {role}",
        "run `{sql}`",
        sql="revoke all on outlast.{table} from {role}",
    ),
    Kind(
        "rows_unprotected",
        "wrong",
        "row level security is off for outlast.{table}",
        "run `{sql}`",
        sql="alter table outlast.{table} enable row level security",
    ),
    Kind(
        "dead_rows",
        "wrong",
        "{dead:,} of the rows of outlast.{table} are dead, beside {rows:,} live ones",
        "run `{sql}`, and see what keeps autovacuum from it",
        sql="vacuum (analyze) outlast.{table}",
    ),
    Kind(
        "autovacuum_off",
        "wrong",
        "autovacuum is off for outlast.{table}: dead rows stay, and claims read them",
        "run `{sql}`",
        sql="alter table outlast.{table} reset (autovacuum_enabled)",
    ),
    Kind(
        "autovacuum_off_everywhere",
        "wrong",
        "autovacuum is off for the whole server",
        "set autovacuum = on in its configuration",
    ),
    # --- instances and workflows
    Kind(
        "no_instance",
        "wrong",
        "{count} workflows are due, and no instance is alive",
        "start one: `outlast serve`; see `outlast db wake` for a host that scales to zero",
    ),
    Kind(
        "versions_mixed",
        "note",
        "instances of versions {versions} are alive at once",
        "finish the rollout; this is fine while one goes on",
    ),
    Kind(
        "function_unserved",
        "wrong",
        "{count} workflows of {function} are due, and no instance serves it ({example})",
        "deploy the function again, or end them: `outlast {command}`",
        command="workflows cancel {example}",
    ),
    Kind(
        "overdue",
        "wrong",
        "{example} has been due for {late_s:.0f} s, though instances are alive",
        "see `outlast workflows show {example}`: raise OUTLAST_WORKFLOWS_MAX or run "
        "more instances where they are full; "
        "if it isn't needed: `outlast {command}`",
        command="workflows cancel {example}",
    ),
    Kind(
        "orphaned",
        "wrong",
        "{count} workflows belong to instances that are gone for {over_s:.0f} s ({example})",
        "start an instance, which takes them over; by SQL: `{sql}`",
        sql="update outlast.workflow_status set owner = null, claimable_at = now(), epoch = "
        "epoch + 1 "
        "where owner = '{owner}'",
    ),
    Kind(
        "lost_often",
        "wrong",
        "{example} has lost its instance {attempts} times: it may be what ends them",
        "see `outlast workflows show {example}` and the log of those instances; to be "
        "rid of it: `outlast {command}`",
        command="workflows cancel {example}",
    ),
    Kind(
        "exhausted",
        "wrong",
        "{count} workflows of {function} were given up within a day ({example})",
        "mend what ends the instances, then let it run again: `outlast workflows retry {example}`",
    ),
    Kind(
        "held",
        "wrong",
        "{count} workflows of {function} are held ({reason}), since {age_s:.0f} s ({example})",
        "deploy code that fits their records: they go on by themselves; `outlast "
        "workflows show {example}` tells what doesn't",
    ),
    Kind(
        "paused_long",
        "note",
        "{count} workflows of {function} have been paused for {days:.0f} days ({example})",
        "let it go on: `outlast {command}`",
        command="workflows resume {example}",
    ),
    Kind(
        "messages_undelivered",
        "wrong",
        "a message has not been delivered for {age_s:.0f} s",
        "start an instance, which delivers it; if one runs, look for long transactions above",
    ),
    # --- queues and schedules
    Kind(
        "queue_paused",
        "note",
        "the queue {queue} is paused by {by} ({why})",
        "let it go on: `outlast {command}`",
        command="queues resume {queue}",
    ),
    Kind(
        "queue_key_paused",
        "note",
        "the key {key} of the queue {queue} is paused by {by} ({why})",
        "let it go on: `outlast {command}`",
        command="queues resume {queue} --key {key}",
    ),
    Kind(
        "queue_limit_unfit",
        "wrong",
        "what {by} has set for the queue {queue} no longer fits what code says of it: {why}",
        "take it back: `outlast {command}`",
        command="queues set {queue} --{flag} default",
    ),
    Kind(
        "queue_unknown",
        "note",
        "workflows wait in the queue {queue}, which no function declares any more: it has no limits",
        "declare it again, or cancel what waits there",
    ),
    Kind(
        "message_refused",
        "wrong",
        "{count} messages of the queue pgmq:{queue} become no workflows ({example}): {error}",
        "{cure}; then they are tried by themselves, within minutes; all at once: `{sql}`",
        sql="select pgmq.set_vt('{queue}', msg_id, 0) from pgmq.\"{table}\" where read_ct > 0",
    ),
    Kind(
        "schedule_late",
        "wrong",
        "the schedule {schedule} is {late_s:.0f} s late",
        "start an instance, which ticks it; if one runs, look at its log",
    ),
    Kind(
        "schedule_unusable",
        "wrong",
        "the schedule {schedule} can't tick: {fault}",
        "correct it where it is declared, or remove it: `outlast {command}`",
        command="schedules delete {schedule}",
    ),
    Kind(
        "schedule_orphaned",
        "note",
        "the schedule {schedule} is declared by no function any more, and starts nothing",
        "declare it again, or remove it: `outlast {command}`",
        command="schedules delete {schedule}",
    ),
    Kind(
        "schedule_paused",
        "note",
        "the schedule {schedule} is paused",
        "let it go on: `outlast {command}`",
        command="schedules resume {schedule}",
    ),
)
BY_ID = {each.id: each for each in KINDS}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong, or worth knowing."""

    kind: Kind
    values: dict[str, Any] = field(default_factory=dict)

    @property
    def what(self) -> str:
        """Say what is wrong."""
        return self.kind.what.format_map(self.values)

    @property
    def sql(self) -> str:
        """The statement that mends it, if there is one."""
        return self.kind.sql.format_map(self.values)

    @property
    def command(self) -> str:
        """The command that mends it, if there is one, without `outlast`."""
        return self.kind.command.format_map(self._words)

    @property
    def remedy(self) -> str:
        """What to do. The parts in backticks may be typed, or run in the database, as they are."""
        made = {"sql": self.sql, "command": self.command}
        outside, inside = self.values | made, self._words | made
        parts = enumerate(self.kind.remedy.split("`"))
        return "`".join(part.format_map(inside if place % 2 else outside) for place, part in parts)

    @property
    def _words(self) -> dict[str, Any]:
        """The values, quoted for a shell. Otherwise an id could hold a command that the shell would run."""
        return {
            name: shlex.quote(value) if isinstance(value, str) else value
            for name, value in self.values.items()
        }

    def row(self) -> dict[str, str]:
        """The finding for programs."""
        kind = self.kind
        return {"id": kind.id, "level": kind.level, "what": self.what, "remedy": self.remedy}


def finding(kind: str, **values: Any) -> Finding:
    """Make a finding of the kind with this id."""
    return Finding(BY_ID[kind], values)


def is_wrong(findings: Iterable[Finding]) -> bool:
    """Whether any finding must be mended."""
    return any(each.kind.level == "wrong" for each in findings)
