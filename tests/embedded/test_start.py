"""Starting, sharing and stopping the embedded Postgres."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from outlast.host.embedded import EmbeddedPostgres, EmbeddedPostgresError
from tests.embedded.alive import alive, revive
from tests.embedded.hosts import Host, is_ended, postmaster, wait_for_end


def show(server: EmbeddedPostgres | str, setting: str) -> str:
    url = server if isinstance(server, str) else server.url
    with psycopg.connect(url) as connection:
        row = connection.execute("select current_setting(%s)", [setting]).fetchone()
    assert row is not None
    return str(row[0])


def started_at(url: str) -> object:
    """Tells one run of a server from another."""
    with psycopg.connect(url) as connection:
        return connection.execute("select pg_postmaster_start_time()").fetchone()


def test_data_is_kept_between_runs(home: Path) -> None:
    with EmbeddedPostgres.start(home, durable=False) as server, psycopg.connect(server.url) as connection:
        connection.execute("create table kept as select 42 as answer")
    assert is_ended(home)
    with EmbeddedPostgres.start(home, durable=False) as server, psycopg.connect(server.url) as connection:
        assert connection.execute("select answer from kept").fetchone() == (42,)


def test_the_server_is_utf8_quiet_and_on_a_socket_only(home: Path) -> None:
    with EmbeddedPostgres.start(home) as server, psycopg.connect(server.url) as connection:
        assert show(server, "server_encoding") == "UTF8"
        assert show(server, "listen_addresses") == ""
        assert show(server, "max_connections") == "100"
        assert show(server, "TimeZone") == "UTC"
        assert (
            show(server, "fsync")
            == show(server, "synchronous_commit")
            == show(server, "full_page_writes")
            == "on"
        )
        assert connection.execute("select upper('é'), 'a' < 'B'").fetchone() == ("É", False)


def test_without_durability_nothing_waits_for_the_disk(home: Path) -> None:
    with EmbeddedPostgres.start(home, durable=False) as server:
        assert (
            show(server, "fsync")
            == show(server, "synchronous_commit")
            == show(server, "full_page_writes")
            == "off"
        )


def test_the_folder_is_private_and_ignored_by_git(new_home: Path) -> None:
    with EmbeddedPostgres.start(new_home, durable=False):
        assert (new_home / ".gitignore").read_text() == "*\n"
        assert (new_home / "postgres").stat().st_mode & 0o777 == 0o700
        assert (new_home / "postgres" / "data").stat().st_mode & 0o777 == 0o700


def test_stop_may_be_called_again_and_leaves_nothing(home: Path) -> None:
    server = EmbeddedPostgres.start(home, durable=False)
    sockets = Path(server.url.partition("host=")[2].partition("&")[0])
    assert alive(server)
    assert sockets.stat().st_mode & 0o777 == 0o700
    server.stop()
    server.stop()
    assert not alive(server)
    assert is_ended(home)
    assert not sockets.exists()
    with pytest.raises(EmbeddedPostgresError, match="stopped"):
        revive(server)


def test_stopping_writes_a_checkpoint_and_needs_no_recovery(home: Path) -> None:
    with EmbeddedPostgres.start(home, durable=False) as server, psycopg.connect(server.url) as connection:
        connection.execute("create table t as select 1")
    with EmbeddedPostgres.start(home, durable=False):
        log = (home / "postgres" / "server.log").read_text()
    assert "database system was shut down at" in log
    assert "was not properly shut down" not in log


def test_two_processes_share_the_server_until_the_last_has_left(home: Path) -> None:
    with EmbeddedPostgres.start(home, durable=False) as server:
        other = Host(home)
        assert other.url() == server.url
        before = started_at(server.url)
    assert started_at(server.url) == before
    assert other.ask("stop") == "stopped"
    assert is_ended(home)
    other.close()


def test_one_process_may_use_it_twice(home: Path) -> None:
    first = EmbeddedPostgres.start(home, durable=False)
    second = EmbeddedPostgres.start(home, durable=False)
    first.stop()
    assert alive(second)
    second.stop()
    assert is_ended(home)


def test_a_process_that_ends_without_stopping_ends_the_server(home: Path) -> None:
    host = Host(home)
    host.url()
    host.close()
    wait_for_end(home)


def test_five_processes_that_start_cold_at_once_get_one_server(new_home: Path) -> None:
    hosts = [Host(new_home) for _ in range(5)]
    urls = {host.url() for host in hosts}
    assert len(urls) == 1
    assert len({started_at(url) for url in urls}) == 1
    assert (new_home / "postgres" / "server.log").read_text().count("ready to accept connections") == 1
    for host in hosts:
        host.close()
    wait_for_end(new_home)


def test_threads_may_start_and_stop_it_at_once(new_home: Path) -> None:
    def use(_: int) -> bool:
        with EmbeddedPostgres.start(new_home, durable=False) as server:
            return show(server, "port") == "5432"

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(use, range(12)))
    assert is_ended(new_home)


@pytest.mark.parametrize("name", ["with space", "Fünf & Söhne's “%20” 数据", "x" * 200])
def test_any_path_will_do(tmp_path: Path, name: str) -> None:
    home = tmp_path / name / ("y" * 200) / ".outlast"
    with EmbeddedPostgres.start(home, durable=False) as server:
        assert show(server, "port") == "5432"
        assert len(server.url.partition("host=")[2].partition("&")[0]) + len("/.s.PGSQL.5432") <= 90
    assert is_ended(home)


def test_a_link_and_what_it_leads_to_are_one_folder(new_home: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(new_home)
    with (
        EmbeddedPostgres.start(new_home, durable=False) as server,
        EmbeddedPostgres.start(tmp_path / "link", durable=False) as same,
    ):
        assert started_at(same.url) == started_at(server.url)


def test_the_environment_does_not_lead_clients_or_server_astray(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {
        "PGPORT": "1",
        "PGDATA": "/nonexistent",
        "TMPDIR": "/nonexistent",
        "PGHOST": "no",
    }.items():
        monkeypatch.setenv(name, value)
    with EmbeddedPostgres.start(home, durable=False) as server:
        assert show(server, "port") == "5432"


def test_a_child_made_by_fork_does_not_end_its_parents_use(home: Path) -> None:
    host = Host(home)
    host.url()
    assert (
        host.ask(
            "(lambda child: os.waitpid(child, 0)[1] if child else (server.stop(), os._exit(7)))(os.fork())"
        )
        == "1792"
    )
    assert host.ask("alive(server)") == "True"
    host.close()


def test_the_server_inherits_nothing_of_its_host(home: Path) -> None:
    host = Host(
        home, before="import socket; open_to_all = socket.socket(); open_to_all.set_inheritable(True)"
    )
    host.url()
    files = {str(file.readlink()) for file in Path(f"/proc/{postmaster(home)}/fd").iterdir()}
    theirs = {file for file in files if file.startswith("socket:")}
    assert host.ask("os.readlink(f'/proc/self/fd/{open_to_all.fileno()}')") not in theirs
    named = {Path(file).name for file in files if file.startswith(str(home))}
    assert named == {"server.lock", "server.log"}
    host.close()
