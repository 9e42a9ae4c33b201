"""What a database's URL means: encryption, kind of door, foreign parameters; passwords stay secret."""

from __future__ import annotations

import os

import pytest
from psycopg.conninfo import conninfo_to_dict

from outlast.store.address import Address, Kind, kind_at

NAME = "outlast/tests"


def read(url: str, sessions: bool | None = None) -> Address:
    return Address.read(url, NAME, sessions)


def read_as(url: str) -> dict[str, object]:
    return dict(conninfo_to_dict(read(url).conninfo))


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("PG"):
            monkeypatch.delenv(name)


LOCAL = [
    "postgresql://u:p@localhost/d",
    "postgres://u:p@localhost:5432/d",
    "postgresql://u@LOCALHOST./d",
    "postgresql://u@127.0.0.1/d",
    "postgresql://u@127.8.9.10:54322/d",
    "postgresql://u@[::1]:5432/d",
    "postgresql://u@[::ffff:127.0.0.1]/d",
    "postgresql://u@%2Fvar%2Frun%2Fpostgresql/d",
    "postgresql:///d?host=/tmp",
    "postgresql:///d",
    "postgresql://u@localhost,127.0.0.1:5433/d",
    "host=localhost dbname=d",
    "host='/tmp' dbname=d",
    "host=@abstract dbname=d",
    "hostaddr=127.0.0.1 host=db.example.com dbname=d",
    "dbname=d",
]
REMOTE = [
    "postgresql://u:p@db.abcdefghijklmnopqrst.supabase.co:5432/postgres",
    "postgres://u@DB.EXAMPLE.COM/d",
    "postgresql://u@10.0.0.7/d",
    "postgresql://u@[2001:db8::7]:5432/d",
    "postgresql://u@[fe80::1%25eth0]/d",
    "postgresql://u@localhost,db.example.com/d",
    "postgresql://u@localhost.example.com/d",
    "host=db dbname=d",
    "hostaddr=192.0.2.1 host=localhost dbname=d",
    "hostaddr=127.0.0.1,192.0.2.1 host=a,b dbname=d",
    "postgresql://u@0.0.0.0/d",
    "postgresql://u@localhost/d?sslnegotiation=direct",
]


@pytest.mark.parametrize("url", LOCAL)
def test_a_local_server_needs_no_certificate(url: str) -> None:
    assert read_as(url)["sslmode"] == "prefer"


@pytest.mark.parametrize("url", REMOTE)
def test_the_way_to_another_host_is_encrypted(url: str) -> None:
    assert read_as(url)["sslmode"] == "require"


@pytest.mark.parametrize("mode", ["disable", "prefer", "verify-ca", "verify-full"])
def test_what_the_url_says_of_encryption_stands(mode: str) -> None:
    for url in (f"postgresql://u@h/d?sslmode={mode}", f"host=localhost sslmode={mode}"):
        assert read_as(url)["sslmode"] == mode


def test_nothing_stronger_is_weakened(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "sslmode" not in read_as("postgresql://u@h/d?sslrootcert=system")  # it implies verify-full
    assert read_as("postgresql://u@h/d?ssl=true")["sslmode"] == "require"
    monkeypatch.setenv("PGSSLMODE", "verify-full")
    assert "sslmode" not in read_as("postgresql://u@h/d")


def test_a_host_of_the_environment_is_one_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGHOST", "db.example.com")
    assert read_as("dbname=d")["sslmode"] == "require"
    assert read_as("postgresql://u@localhost/d")["sslmode"] == "prefer"


def test_which_door_is_known_by_its_number() -> None:
    for host, port, kind in (
        ("aws-0-eu-central-1.pooler.supabase.com", "6543", Kind.TRANSACTION_POOLER),
        ("db.abcdefghijklmnopqrst.supabase.co", "6543", Kind.TRANSACTION_POOLER),
        ("localhost", "6543", Kind.TRANSACTION_POOLER),
        ("aws-0-eu-central-1.pooler.supabase.com", "5432", Kind.SESSION_POOLER),
        ("AWS-1-US-EAST-1.Pooler.Supabase.com.", "5432", Kind.SESSION_POOLER),
        ("aws-0-eu-central-1.pooler.supabase.com", "5433", None),
        ("pooler.supabase.com.example.org", "5432", None),
        ("db.abcdefghijklmnopqrst.supabase.co", "5432", None),
        ("/tmp", "5432", None),
    ):
        assert kind_at(host, port) is kind, (host, port)


def test_only_a_direct_connection_has_sessions_that_are_its_own() -> None:
    assert [each.sessions for each in Kind] == [True, False, False]
    assert [each.settings for each in Kind] == [True, True, False]


def test_what_prisma_calls_pgbouncer_is_a_transaction_pooler() -> None:
    url = "postgresql://u:p@h:5432/d?pgbouncer=true&connection_limit=1&sslmode=require&schema=public"
    address = read(url)
    assert address.kind is Kind.TRANSACTION_POOLER
    assert conninfo_to_dict(address.conninfo)["sslmode"] == "require"
    assert address.warnings == (
        "SUPABASE_DB_URL: Postgres has no parameter connection_limit, so it was left out",
        "SUPABASE_DB_URL: Postgres has no parameter schema, so it was left out",
    )
    assert read("postgresql://u@h/d?pgbouncer=false").kind is None
    assert read("postgresql://u@h/d?supa=base-pooler.x&supavisor_session=1").kind is None
    assert read(url, sessions=True).kind is Kind.DIRECT
    assert read("postgresql://u@h:6543/d", sessions=False).kind is Kind.TRANSACTION_POOLER


@pytest.mark.parametrize("foreign", ["sslaccept=strict", "ssl=no-verify", "SSLMODE=verify-full", "sslmod=x"])
def test_a_foreign_parameter_that_may_protect_is_refused(foreign: str) -> None:
    with pytest.raises(ValueError, match="sslmode=verify-full"):
        read(f"postgresql://u:hunter2@h/d?{foreign}")


@pytest.mark.parametrize(
    ("written", "password"),
    [("a%40b", "a@b"), ("a%2Fb", "a/b"), ("a%3Ab", "a:b"), ("a%25b", "a%b"), ("a%20b", "a b"),
     ("a?b&c=d", "a?b&c=d"), ("a#b", "a#b"), ("a[b]", "a[b]"), ("%C3%A9", "é"), ("é", "é"), ("a:b", "a:b")],
)  # fmt: skip
def test_passwords_of_all_characters(written: str, password: str) -> None:
    given = read_as(f" postgresql://u:{written}@h:5432/d?application_name=mine&x=1\n")
    assert (given["password"], given["host"], given["dbname"]) == (password, "h", "d")
    assert given["application_name"] == "mine"


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:hunter@hunter2@h/d",
        "postgresql://u:hun/ter2@h/d",
        "postgresql://u:p@hun#t/er2@h/d",
        "postgresql://u:p@hun?t/er2@h/d",
        "postgresql://u:p@hun/t?er2@h/d",
        "postgresql://u:[YOUR-PASSWORD]@h/d",
        "postgresql://u:hun%ter2@h/d",
        "postgresql://u:hun%zz@h/d",
        "postgresql://u:hunter2@h:hunter2/d",
        "postgresql://u:hunter2@h:99999/d",
        "postgresql://u:hunter2@h:0/d",
        "postgresql://u:hunter2@h:-1/d",
        "postgresql://u:hunter2@h:५/d",
        "postgresql://u:hunter2@[::1/d",
        "postgresql://u:hunter2@h x/d",
        "postgresql://u:hunter2@h/d?sslmode",
        "host=h password=hunter 2 schema=hunter2",
        "host=h schema=hunter2",
        "postgresql:hunter2",
        "x=hunter2",
        "service=hunter2",
        "postgresql://u:hunter2\0@h/d",
    ],
)
def test_a_url_that_cannot_be_read_is_refused_and_not_shown(url: str) -> None:
    with pytest.raises(ValueError) as refused:
        read(url)
    assert "hun" not in str(refused.value)
    assert refused.value.__cause__ is None
    assert "set" in str(refused.value) or "name" in str(refused.value)


def test_other_parts_than_a_password_may_hold_an_at_sign() -> None:
    given = read_as("postgresql://u:p@h/d%40x?application_name=a@b&sslrootcert=/a@b/c")
    assert (given["dbname"], given["application_name"], given["sslrootcert"]) == ("d@x", "a@b", "/a@b/c")
    assert read_as("host=h dbname=d@x")["dbname"] == "d@x"


def test_it_is_named_without_secrets() -> None:
    for url, name in (
        ("postgresql://u:p%40ss@h1:1,h2:2/d?password=x", "h1:1,h2:2/d"),
        ("postgresql://u:p@h1,h2:5/d", "h1,h2:5/d"),
        ("host=a,b port=7 password=x dbname=d", "a:7,b:7/d"),
        ("hostaddr=127.0.0.1 password=x", "127.0.0.1/"),
        ("postgresql://u:a#b?c@[::1]:6543/d", "[::1]:6543/d"),
    ):
        assert read(url).name == name
