"""What to do about a failed connection, by its error text: servers and poolers give no codes for these.

Also what to do about a refused statement, by its code.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_SUPABASE_USER = "through Supabase's poolers the user is postgres.PROJECT_REF"


@dataclass(frozen=True, slots=True)
class Remedy:
    """What to do. `refused`: the cause won't go away by itself, so frequent retries only do harm."""

    text: str
    refused: bool


def _row(pattern: str, text: str, *, refused: bool = True) -> tuple[re.Pattern[str], Remedy]:
    return re.compile(pattern, re.IGNORECASE), Remedy(text, refused)


_ROWS = (
    _row(
        r"circuit ?breaker|too many (failed )?authentication|temporarily blocked",
        "the pooler has had too many wrong passwords: correct SUPABASE_DB_URL, then wait some minutes",
    ),
    _row(
        r"password authentication failed|no password supplied|sasl authentication|wrong password|"
        r"authentication (query )?failed",
        f"set the right user and password in SUPABASE_DB_URL ({_SUPABASE_USER}; "
        "in a password write @ : / % as %40 %3A %2F %25)",
    ),
    _row(
        r"tenant.* not found|ENOTFOUND|no such (user|database)",
        f"take the URL from Connect in Supabase's dashboard: the host names the region, and {_SUPABASE_USER}",
    ),
    _row(
        r'database "?.*"? does not exist',
        "create it, or name another at the end of SUPABASE_DB_URL; Supabase's is postgres",
    ),
    _row(r'role "?.*"? (does not exist|is not permitted)', "set another user in SUPABASE_DB_URL"),
    _row(
        r"pg_hba\.conf|address not (in|allowed)|not in tenant allow_list",
        "let this machine's address in: network restrictions at Supabase, pg_hba.conf elsewhere",
    ),
    _row(
        r"unsupported startup parameter",
        "leave options= out of SUPABASE_DB_URL, and PGOPTIONS: poolers refuse them",
    ),
    _row(
        r"does not support SSL",
        "if you trust the network add ?sslmode=disable to SUPABASE_DB_URL",
    ),
    _row(
        r"certificate|root\.crt",
        "set sslrootcert in SUPABASE_DB_URL to the certificate from Supabase's database settings",
    ),
    _row(
        r'(\([0-9a-f:]+\)|"[0-9a-f:.]*:[0-9a-f:.]*"), port \d+ failed: '
        r"(network is unreachable|no route to host|cannot assign requested address)|no address associated|"
        r"resolve host '?db\.\w+\.supabase\.co",
        "if this machine has no IPv6, take a pooler's URL from Connect in Supabase's dashboard, or the IPv4 "
        "add-on: a project's direct host has IPv6 only",
        refused=False,
    ),
    _row(
        r"connection slots|too many (clients|connections)|max ?clients|no more connections",
        "run fewer instances, lower OUTLAST_DB_CONNECTIONS, or take the transaction pooler's URL (port 6543)",
        refused=False,
    ),
)


def remedy_for(error: str) -> Remedy | None:
    """The remedy for a failed connection. None: it is only tried again."""
    return next((remedy for pattern, remedy in _ROWS if pattern.search(error)), None)


OF_AWAY = "see that it runs and that SUPABASE_DB_URL names it"
"""For commands that don't try again."""

_OWNER = (
    "connect as the owner of the database and of outlast's tables; `outlast doctor` names what is lacking"
)
_OUTDATED = "bring the schema up to date: `outlast db migrate`"
_OF_CODES = {
    "42501": _OWNER,  # insufficient_privilege
    "3F000": _OUTDATED,  # invalid_schema_name
    "42P01": _OUTDATED,  # undefined_table
    "42883": _OUTDATED,  # undefined_function
    "25006": "connect to the primary, which takes writes",  # read_only_sql_transaction
}
"""See Appendix A of Postgres's manual."""
_QUOTED = re.compile(r"\nLINE \d+: .*\n *\^")
"""The line of Outlast's own statement that the server quotes."""


def refusal(error: Exception) -> str | None:
    """The database's error for one of Outlast's own statements, with the remedy; None for any other error."""
    sqlstate = getattr(error, "sqlstate", None)
    if sqlstate is None:
        return None
    remedy = _OF_CODES.get(sqlstate)
    said = _QUOTED.sub("", str(error))
    return f"the database refused: {said}{'' if remedy is None else f'; remedy: {remedy}'}"
