"""What remains when processes are killed: no orphan, no lost data, and a next start that works."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from outlast.host.embedded import EmbeddedPostgres, EmbeddedPostgresError
from tests.embedded.alive import alive, revive
from tests.embedded.hosts import Host, kill, postmaster, supervisor, wait_for_end, wait_until

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at processes in /proc")


def write(url: str, value: int) -> None:
    with psycopg.connect(url) as connection:
        connection.execute("create table if not exists kept (value int)")
        connection.execute("insert into kept values (%s)", [value])


def values(url: str) -> list[int]:
    with psycopg.connect(url) as connection:
        return [row[0] for row in connection.execute("select value from kept order by value")]


def test_the_server_ends_after_its_only_user_was_killed(home: Path) -> None:
    host = Host(home)
    write(host.url(), 1)
    host.kill()
    wait_for_end(home)
    with EmbeddedPostgres.start(home, durable=False) as server:
        assert values(server.url) == [1]


def test_a_start_right_after_the_kill_always_works(home: Path) -> None:
    """Whether it meets the server as it is, on its way down, or gone."""
    host = Host(home)
    for value in range(4):
        write(host.url(), value)
        host.kill()
        host = Host(home)
    assert values(host.url()) == list(range(4))
    host.close()


def test_other_users_keep_the_server_when_one_is_killed(home: Path) -> None:
    with EmbeddedPostgres.start(home, durable=False) as server, psycopg.connect(server.url) as connection:
        host = Host(home)
        host.url()
        host.kill()
        assert connection.execute("select 1").fetchone() == (1,)


def test_a_killed_server_comes_back_under_the_same_url_with_its_data(home: Path) -> None:
    with EmbeddedPostgres.start(home, durable=True) as server:
        write(server.url, 1)
        url, before = server.url, postmaster(home)
        kill(before)
        wait_until(lambda: _postmaster(home) not in (None, before))
        revive(server)
        assert server.url == url
        assert values(url) == [1]


def test_a_busy_child_of_a_killed_server_does_not_hold_up_the_next(home: Path) -> None:
    with EmbeddedPostgres.start(home, durable=False) as server:
        connection = psycopg.connect(server.url, autocommit=True)
        loop = (
            "import psycopg, sys; psycopg.connect(sys.argv[1]).execute('do $$ begin loop end loop; end $$')"
        )
        client = subprocess.Popen([sys.executable, "-c", loop, server.url], stderr=subprocess.DEVNULL)
        busy = "select count(*) from pg_stat_activity where state = 'active' and query like 'do %'"
        wait_until(lambda: connection.execute(busy).fetchone() == (1,))
        before = postmaster(home)
        kill(before)
        wait_until(lambda: _postmaster(home) not in (None, before))
        revive(server)
        assert client.wait(10) != 0
        with contextlib.suppress(psycopg.Error):
            connection.close()


def test_a_server_that_only_dies_is_given_up_with_its_log(home: Path) -> None:
    with EmbeddedPostgres.start(home, durable=False) as server:
        with (home / "postgres" / "data" / "postgresql.conf").open("a") as file:
            file.write("no_such_setting = 1\n")
        kill(postmaster(home))
        wait_for_end(home)
        with pytest.raises(EmbeddedPostgresError, match="no_such_setting"):
            revive(server)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_supervisor_that_ends_is_replaced_while_there_are_users(home: Path, how: signal.Signals) -> None:
    with EmbeddedPostgres.start(home, durable=False) as server:
        other = Host(home)
        url = other.url()
        write(url, 1)
        before = supervisor(home)
        os.kill(before, how)
        wait_until(lambda: _supervisor(home) not in (None, 1, before))
        revive(server)
        assert server.url == url
        assert values(url) == [1]
        assert other.ask("revive(server)") == "None"
    assert other.ask("alive(server)") == "True"
    other.close()
    wait_for_end(home)


def test_stop_works_after_the_supervisor_was_killed(home: Path) -> None:
    server = EmbeddedPostgres.start(home, durable=False)
    kill(supervisor(home))
    server.stop()
    wait_for_end(home)


def test_supervisor_and_users_killed_at_once_leave_no_server(home: Path) -> None:
    hosts = [Host(home), Host(home)]
    for host in hosts:
        host.url()
    kill(supervisor(home), *(host.process.pid for host in hosts))
    for host in hosts:
        host.close()
    wait_for_end(home)


def test_everything_killed_at_once_leaves_a_folder_that_starts(home: Path) -> None:
    host = Host(home, durable=True)
    write(host.url(), 1)
    kill(supervisor(home), postmaster(home), host.process.pid)
    host.close()
    with EmbeddedPostgres.start(home) as server:
        assert values(server.url) == [1]


def test_a_stale_process_id_that_is_anothers_now_does_no_harm(home: Path) -> None:
    host = Host(home, durable=True)
    write(host.url(), 1)
    sockets = Path(host.ask("server.url").partition("host=")[2].partition("&")[0])
    owner = (home / "postgres" / "data").stat()
    os.kill(supervisor(home), signal.SIGSTOP)  # it must not put an end to the server before it is killed
    # The host first: it would miss the others, and start them anew.
    kill(host.process.pid, postmaster(home), supervisor(home))
    host.close()
    wait_for_end(home)
    with _bystander(owner) as another:
        for file in (home / "postgres" / "data" / "postmaster.pid", sockets / ".s.PGSQL.5432.lock"):
            lines = file.read_text().split("\n")
            file.write_text("\n".join([str(another), *lines[1:]]))
        with EmbeddedPostgres.start(home, durable=False) as server:
            assert values(server.url) == [1]


@contextlib.contextmanager
def _bystander(owner: os.stat_result) -> Iterator[int]:
    """A process of the server's user, who has nothing to do with it and lives on."""
    if os.geteuid() != 0:
        yield os.getpid()
        return
    process = subprocess.Popen(["sleep", "60"], user=owner.st_uid, group=owner.st_gid)
    try:
        yield process.pid
        assert process.poll() is None
    finally:
        process.kill()
        process.wait()


def test_initdb_killed_in_the_middle_leaves_nothing_broken(new_home: Path) -> None:
    host = Host(new_home)
    wait_until(lambda: (new_home / "postgres" / "data.new" / "PG_VERSION").exists())
    makers = _processes_of(new_home)
    host.kill()
    kill(*makers)
    assert not (new_home / "postgres" / "data").exists()
    with EmbeddedPostgres.start(new_home, durable=False) as server:
        write(server.url, 1)
    assert not (new_home / "postgres" / "data.new").exists()


def test_a_host_killed_in_a_cold_start_leaves_a_whole_database_or_none(new_home: Path) -> None:
    host = Host(new_home)
    wait_until(lambda: (new_home / "postgres" / "data.new").exists())
    host.kill()
    with EmbeddedPostgres.start(new_home, durable=False) as server:
        write(server.url, 1)


def test_ctrl_c_in_the_terminal_reaches_the_host_only(home: Path) -> None:
    host = Host(home, before="signal.signal(signal.SIGINT, lambda *_: say('interrupted'))")
    url = host.url()
    os.killpg(host.process.pid, signal.SIGINT)
    assert host.hear() == "interrupted"
    write(url, 1)
    assert os.getsid(postmaster(home)) != os.getsid(host.process.pid)
    host.close()


@pytest.mark.slow
def test_a_folder_removed_under_its_server_takes_the_server_along(tmp_path: Path) -> None:
    home = tmp_path / ".outlast"
    with EmbeddedPostgres.start(home, durable=False) as server:
        processes = [postmaster(home), supervisor(home)]
        (home / "postgres").rename(tmp_path / "gone")
        _remove(tmp_path / "gone")
        wait_until(lambda: not any(Path(f"/proc/{process}").exists() for process in processes))
        with pytest.raises(EmbeddedPostgresError, match="still stands"):
            revive(server)
    with EmbeddedPostgres.start(home, durable=False) as server:
        write(server.url, 1)


def test_sockets_that_a_cleaner_of_tmp_folders_took_are_made_anew(home: Path) -> None:
    with EmbeddedPostgres.start(home, durable=False) as server:
        url = server.url
        shutil.rmtree(url.partition("host=")[2].partition("&")[0])
        wait_until(lambda: alive(server))
        assert server.url == url
        write(url, 1)


def _remove(folder: Path) -> None:
    """Though the server goes on writing into it."""

    def remove() -> bool:
        shutil.rmtree(folder, ignore_errors=True)
        return not folder.exists()

    wait_until(remove)


def _postmaster(home: Path) -> int | None:
    with contextlib.suppress(OSError, ValueError):
        return postmaster(home)
    return None


def _supervisor(home: Path) -> int | None:
    with contextlib.suppress(OSError, ValueError):
        return supervisor(home)
    return None


def _processes_of(home: Path) -> list[int]:
    """All processes that work in the folder or hold its locks, so also those of an initdb."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and int(entry.name) != os.getpid():
            with contextlib.suppress(OSError):
                files = [*(entry / "fd").iterdir(), entry / "cwd"]
                if any(str(file.readlink()).startswith(str(home / "postgres")) for file in files):
                    found.append(int(entry.name))
    return found
