"""Reads a database's URL: hosts, encryption, and whether a pooler or Postgres itself answers there."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from ipaddress import ip_address
from itertools import zip_longest
from typing import Any
from urllib.parse import unquote

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.pq import Conninfo

TRANSACTION_POOLER_PORT = "6543"
_SESSION_POOLER_HOST, _SESSION_POOLER_PORT = ".pooler.supabase.com", "5432"
_SCHEMES = ("postgresql://", "postgres://")
_UNREADABLE = (
    "set a Postgres URL, such as postgresql://USER:PASSWORD@HOST:5432/postgres; in a password write @ : / % "
    "and spaces as %40 %3A %2F %25 %20"
)


class Kind(Enum):
    """What answers at the other end. It decides what a connection may be used for."""

    DIRECT = "direct"
    """Postgres itself: a connection is one session, as long as it lasts."""
    SESSION_POOLER = "session pooler"
    """Each connection has a session, which the pooler may replace, and which may outlive the connection."""
    TRANSACTION_POOLER = "transaction pooler"
    """Each transaction has a session, shared with other clients. Also used in doubt."""

    @property
    def sessions(self) -> bool:
        """Whether statements may be prepared, and whether the session ends with the connection."""
        return self is Kind.DIRECT

    @property
    def settings(self) -> bool:
        """Whether session settings take effect here and don't affect other clients."""
        return self is not Kind.TRANSACTION_POOLER


@dataclass(frozen=True, slots=True)
class Address:
    """A database's address for libpq."""

    conninfo: str
    application_name: str
    name: str
    """Hosts, ports and database: nothing secret."""
    kind: Kind | None
    """The user's setting. None: host and port decide, or the server is asked."""
    warnings: tuple[str, ...]
    """One line for each parameter that was left out of the URL."""

    @classmethod
    def read(cls, url: str, application_name: str, sessions: bool | None) -> Address:
        """Read `url` (libpq URL or key=value). Raises ValueError, whose text holds no part of a password."""
        text, foreign = _split_foreign(url.strip())
        # A password that holds @ and then / or ?: what follows the @ would be taken for the host, and shown.
        # guard: password-taken-for-a-host
        if text.startswith(_SCHEMES) and "@" in "".join((_path_of(text), *foreign)):
            raise ValueError(_UNREADABLE)
        try:
            given = {key: str(value) for key, value in conninfo_to_dict(text).items()}
        except (psycopg.Error, UnicodeError):
            raise ValueError(_UNREADABLE) from None  # libpq's own text may hold the password
        _check(given)
        # A frozen or vanished server must not hold up a caller for longer than a lease.
        defaults: dict[str, Any] = {
            "application_name": application_name,
            "connect_timeout": 10,
            "keepalives_idle": 5,
            "keepalives_interval": 2,
            "keepalives_count": 3,
            "tcp_user_timeout": 10_000,
            **_encryption(given),
        }
        kind = None
        if sessions is not None:
            kind = Kind.DIRECT if sessions else Kind.TRANSACTION_POOLER
        elif foreign.get("pgbouncer", "").lower() in ("true", "1"):
            kind = Kind.TRANSACTION_POOLER
        warnings = tuple(
            f"SUPABASE_DB_URL: Postgres has no parameter {name}, so it was left out"
            for name in foreign
            if name != "pgbouncer"
        )
        # As a startup parameter it overrides the settings of roles and databases, and poolers pass it on.
        merged = {**defaults, **given, "client_encoding": "UTF8"}
        return cls(make_conninfo(**merged), merged["application_name"], _shown_name(given), kind, warnings)

    def shown_names(self) -> list[str]:
        """The names under which the server may show the application: before Postgres 16, and since then."""
        printable = [chr(byte) if 32 <= byte <= 126 else "" for byte in self.application_name.encode()]
        codes = [f"\\x{byte:02x}" for byte in self.application_name.encode()]
        old = "".join(each or "?" for each in printable)
        new = "".join(each or code for each, code in zip(printable, codes, strict=True))
        return [old[:63], new[:63]]


def kind_at(host: str, port: str) -> Kind | None:
    """The kind that is known for `host` and `port`; None if the server must be asked."""
    if port == TRANSACTION_POOLER_PORT:
        return Kind.TRANSACTION_POOLER
    if port == _SESSION_POOLER_PORT and host.lower().rstrip(".").endswith(_SESSION_POOLER_HOST):
        return Kind.SESSION_POOLER
    return None


def is_local(host: str) -> bool:
    """Whether `host` is this machine: loopback by name or number, or a folder of sockets."""
    if host == "" or host.startswith(("/", "@")):
        return True
    try:
        address = ip_address(host)
    except ValueError:
        return host.lower().rstrip(".") == "localhost"
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback


def _split_foreign(url: str) -> tuple[str, dict[str, str]]:
    """The URL without parameters of other drivers, and those parameters. Raises ValueError."""
    scheme = next((each for each in _SCHEMES if url.startswith(each)), None)
    if scheme is None:
        return url, {}
    # As libpq does: a password ends at the first @, and may contain a question mark.
    ends = next((at for at in range(len(scheme), len(url)) if url[at] in "@/"), len(scheme))
    query_at = url.find("?", ends if url[ends : ends + 1] == "@" else len(scheme))
    if query_at < 0:
        return url, {}
    known = {option.keyword.decode() for option in Conninfo.get_defaults()}
    kept: list[str] = []
    foreign: dict[str, str] = {}
    for each in filter(None, url[query_at + 1 :].split("&")):
        name, _, value = each.partition("=")
        name = unquote(name)
        if name in known or each == "ssl=true":
            kept.append(each)
        elif name.lower().startswith("ssl"):
            raise ValueError(
                f"Postgres has no parameter {name!r}, and it may be meant to protect you: "
                "set sslmode and sslrootcert, as in ?sslmode=verify-full&sslrootcert=FILE"
            )
        else:
            foreign[name] = unquote(value)
    return url[:query_at] + ("?" + "&".join(kept) if kept else ""), foreign


def _path_of(url: str) -> str:
    """What follows the host, as it is written: the name of the database."""
    return "".join(url.split("/", 3)[3:]).partition("?")[0]


def _check(given: dict[str, str]) -> None:
    """Refuse values that libpq would accept and later print in errors, passwords too. Raises ValueError."""
    if "service" in given:
        raise ValueError("name a host instead of a service, so that it is known whether to encrypt")
    if given.get("password") == "[YOUR-PASSWORD]":
        raise ValueError("set the database's password: Supabase's placeholder stands in its place")
    hosts = [*_split_list(given, "host"), *_split_list(given, "hostaddr")]
    ports = [port for port in _split_list(given, "port") if port]
    if any("@" in each[1:] or any(c.isspace() for c in each) for each in hosts if not each.startswith("/")):
        raise ValueError(_UNREADABLE)
    if not all(port.isascii() and port.isdigit() and 0 < int(port) < 65536 for port in ports):
        raise ValueError(_UNREADABLE)


def _encryption(given: dict[str, str]) -> dict[str, str]:
    """The sslmode if none is given. Never weaker than what the other parameters imply."""
    usual = {option.keyword.decode(): option for option in Conninfo.get_defaults()}
    from_environment = usual["sslmode"].val not in (None, usual["sslmode"].compiled)
    if "sslmode" in given or from_environment or given.get("sslrootcert") == "system":
        return {}
    host, address = (
        given[name] if name in given else (usual[name].val or b"").decode() for name in ("host", "hostaddr")
    )
    local = all(is_local(each) for each in _targets(host, address))
    # guard: unencrypted-if-the-server-likes = {"sslmode": "prefer"}
    return {"sslmode": "prefer" if local and given.get("sslnegotiation") != "direct" else "require"}


def _targets(host: str, address: str) -> Iterable[str]:
    """The addresses that connections go to: the numeric one if given, otherwise the name."""
    names, numbers = host.split(","), address.split(",")
    for at in range(max(len(names), len(numbers))):
        number = numbers[at].strip() if at < len(numbers) else ""
        yield number or (names[at].strip() if at < len(names) else "")


def _shown_name(given: dict[str, str]) -> str:
    hosts, ports = _split_list(given, "host" if given.get("host") else "hostaddr"), _split_list(given, "port")
    ports *= len(hosts) if len(ports) == 1 else 1
    shown = [f"[{each}]" if ":" in each else each for each in hosts]
    places = (":".join(filter(None, each)) for each in zip_longest(shown, ports, fillvalue=""))
    return f"{','.join(places)}/{given.get('dbname', '')}"


def _split_list(given: dict[str, str], name: str) -> list[str]:
    return [each.strip() for each in given.get(name, "").split(",")]
