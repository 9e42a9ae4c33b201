"""Who the server runs as, and folders that pass from one user of the machine to another."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from outlast.host.embedded import EmbeddedPostgres, EmbeddedPostgresError, binaries
from tests.embedded.hosts import Host, postmaster, supervisor, wait_for_end

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be several users")

_NO_ACCOUNT = 65519


@pytest.fixture
def uid() -> int:
    """An ordinary user: initdb wants one that has an account."""
    for name in ("games", "daemon", "nobody"):
        try:
            return pwd.getpwnam(name).pw_uid
        except KeyError:
            continue
    pytest.skip("no account but root's")


@pytest.fixture
def project(open_folder: Path, uid: int) -> Path:
    """A project of the ordinary user's."""
    project = open_folder / "project"
    project.mkdir()
    os.chown(project, uid, uid)
    return project


def write(url: str) -> None:
    with psycopg.connect(url) as connection:
        connection.execute("create table kept as select 1 as value")


def owner_of(process: int) -> int:
    return Path(f"/proc/{process}").stat().st_uid


def owners(folder: Path) -> set[int]:
    return {path.lstat().st_uid for path in (folder, *folder.rglob("*"))}


def test_root_runs_it_as_a_user_that_nobody_is(new_home: Path) -> None:
    """In a project of root's, which is closed to that user."""
    assert new_home.parent.parent.stat().st_mode & 0o077 == 0
    with EmbeddedPostgres.start(new_home, durable=False) as server:
        write(server.url)
        runs_as = owner_of(postmaster(new_home))
        assert owner_of(supervisor(new_home)) == runs_as
        assert owners(new_home / "postgres") == {runs_as}
        with pytest.raises(KeyError):
            pwd.getpwuid(runs_as)
        groups = (
            Path(f"/proc/{postmaster(new_home)}/status").read_text().partition("\nGroups:")[2].split("\n")[0]
        )
        assert groups.split() == []
    with EmbeddedPostgres.start(new_home, durable=False):
        assert owner_of(postmaster(new_home)) == runs_as


def test_an_ordinary_user_runs_it_as_itself(project: Path, uid: int) -> None:
    home = project / ".outlast"
    host = Host(home, uid=uid)
    write(host.url())
    assert owner_of(postmaster(home)) == uid
    host.kill()
    wait_for_end(home)
    assert owners(home) == {uid}


def test_root_runs_it_as_the_owner_of_the_project(project: Path, uid: int) -> None:
    """So that the owner can use it afterwards, and root can after that."""
    home = project / ".outlast"
    with EmbeddedPostgres.start(home, durable=False) as server:
        write(server.url)
        assert owner_of(postmaster(home)) == uid
    assert owners(home) == {uid}
    host = Host(home, uid=uid)
    assert host.ask("alive(server)") if host.url() else False
    with EmbeddedPostgres.start(home, durable=False) as server, psycopg.connect(server.url) as connection:
        assert connection.execute("select value from kept").fetchone() == (1,)
        assert host.ask("alive(server)") == "True"
    host.close()
    wait_for_end(home)
    assert owners(home) == {uid}


def test_a_folder_of_roots_is_refused_to_others_until_it_is_theirs(open_folder: Path, uid: int) -> None:
    home = open_folder / ".outlast"
    with EmbeddedPostgres.start(home, durable=False) as server:
        write(server.url)
    refused = Host(home, uid=uid)
    error = refused.error()
    refused.close()
    assert "\n" not in error
    assert f"sudo chown -R {uid} {home}" in error
    assert "run as that user or as root" in error
    subprocess.run(["chown", "-R", str(uid), str(home)], check=True, timeout=10)
    host = Host(home, uid=uid)
    with psycopg.connect(host.url()) as connection:
        assert connection.execute("select value from kept").fetchone() == (1,)
    host.close()
    wait_for_end(home)


def test_a_folder_of_another_users_is_refused(project: Path, uid: int) -> None:
    home = project / ".outlast"
    with EmbeddedPostgres.start(home, durable=False):
        pass
    other = Host(home, uid=_NO_ACCOUNT)
    error = other.error()
    other.close()
    assert f"belongs to user id {uid} and this process runs as {_NO_ACCOUNT}" in error


def test_a_project_that_the_user_may_not_write_is_refused(open_folder: Path, uid: int) -> None:
    host = Host(open_folder / ".outlast", uid=uid)
    error = host.error()
    host.close()
    assert "make it writable, or set SUPABASE_DB_URL" in error


def test_a_user_without_an_account_is_told_what_initdb_wants(open_folder: Path) -> None:
    os.chown(open_folder, _NO_ACCOUNT, _NO_ACCOUNT)
    host = Host(open_folder / ".outlast", uid=_NO_ACCOUNT)
    error = host.error()
    host.close()
    assert f"needs an account for user id {_NO_ACCOUNT}" in error


def test_data_of_another_owner_is_refused(home: Path) -> None:
    with EmbeddedPostgres.start(home, durable=False):
        pass
    os.chown(home / "postgres" / "data", 1, 1)
    host = Host(home)
    error = host.error()
    host.close()
    assert "belongs to user id 1 and the folder around it to" in error
    assert "sudo chown -R" in error


def test_a_file_that_was_put_in_place_of_a_log_is_not_written(
    project: Path, uid: int, tmp_path: Path
) -> None:
    """Root must not be led to change its own files by the owner of the project."""
    home = project / ".outlast"
    precious = tmp_path / "precious"
    precious.write_text("x")
    with EmbeddedPostgres.start(home, durable=False):
        pass
    log = home / "postgres" / "server.log"
    log.unlink()
    log.symlink_to(precious)
    host = Host(home)
    assert "server.log is not a file that Outlast made: remove it" in host.error()
    host.close()
    assert precious.read_text() == "x"
    assert precious.stat().st_uid == 0


@pytest.fixture
def cache(open_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The place of copied programs, for this test."""
    cache = open_folder / "cache"
    monkeypatch.setattr(binaries, "_CACHES", (cache,))
    return cache


@pytest.fixture
def closed_wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> binaries.Binaries:
    """The programs under a folder that only root can enter, as in a virtual environment under /root."""
    there = binaries.locate()
    for folder in there.folders:
        shutil.copytree(there.root / folder, tmp_path / "closed" / folder)
    (tmp_path / "closed").chmod(0o700)
    inside = there.programs.relative_to(there.root)
    closed = binaries.Binaries(there.major, tmp_path / "closed", tmp_path / "closed" / inside, there.folders)
    monkeypatch.setattr("outlast.host.embedded.attach.locate", lambda: closed)
    return closed


@pytest.mark.usefixtures("closed_wheel")
def test_programs_in_a_closed_folder_are_copied_once(home: Path, cache: Path) -> None:
    for _ in range(2):
        with EmbeddedPostgres.start(home, durable=False) as server, psycopg.connect(server.url) as connection:
            assert connection.execute("select 1").fetchone() == (1,)
            assert str(Path(f"/proc/{postmaster(home)}/exe").readlink()).startswith(str(cache))
    assert owners(cache) == {0}
    (copy,) = cache.iterdir()
    assert {path.name for path in copy.rglob("bin/*")} == {"postgres", "initdb"}


def test_processes_that_copy_at_once_agree_on_one_copy(
    closed_wheel: binaries.Binaries, cache: Path, uid: int
) -> None:
    cut_off = cache / ".copy-cut-off"
    cut_off.mkdir(parents=True)
    with ThreadPoolExecutor(4) as pool:
        copies = set(pool.map(lambda _: binaries.readable(closed_wheel, uid).programs, range(4)))
    assert len(copies) == 1
    assert (copies.pop() / "postgres").is_file()
    assert len(list(cache.iterdir())) == 1


@pytest.mark.slow
@pytest.mark.usefixtures("closed_wheel")
def test_a_cache_that_others_could_change_is_not_used(home: Path, cache: Path) -> None:
    cache.mkdir()
    cache.chmod(0o777)
    with pytest.raises(EmbeddedPostgresError, match="run as an ordinary user, or set SUPABASE_DB_URL"):
        EmbeddedPostgres.start(home, durable=False)
