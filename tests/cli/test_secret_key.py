"""The secret key that is made and kept: by one process, for one pair of eyes."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from outlast.host.secret_key import SecretKeyError, obtain_secret_key, read_secret_key


def test_a_key_is_made_once_and_kept(tmp_path: Path) -> None:
    assert read_secret_key(tmp_path) is None
    made = obtain_secret_key(tmp_path)
    assert made.made
    assert re.fullmatch(r"sb_secret_[A-Za-z0-9_-]{32}", made.value)
    kept = obtain_secret_key(tmp_path)
    assert (kept.value, kept.made) == (made.value, False)
    assert read_secret_key(tmp_path) == made.value
    assert [each.name for each in tmp_path.iterdir()] == ["secret_key"]


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_only_its_owner_can_read_it(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        obtain_secret_key(tmp_path)
    finally:
        os.umask(before)
    assert (tmp_path / "secret_key").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602])
def test_a_key_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    key = obtain_secret_key(tmp_path).value
    path = tmp_path / "secret_key"
    path.chmod(mode)
    for use in (read_secret_key, obtain_secret_key):
        with pytest.raises(SecretKeyError) as refusal:
            use(tmp_path)
        assert f"chmod 600 {path}" in str(refusal.value)
        assert key not in str(refusal.value)


@pytest.mark.parametrize(
    "text", ["", "short", "two\nlines-that-are-long-enough", "with a blank in it, long enough", "é" * 40]
)
def test_a_file_without_a_key_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "secret_key"
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(SecretKeyError, match="holds no key: remove it"):
        obtain_secret_key(tmp_path)


def test_links_and_other_kinds_of_file_are_refused(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    obtain_secret_key(elsewhere)
    (tmp_path / "secret_key").symlink_to(elsewhere / "secret_key")
    with pytest.raises(SecretKeyError):
        read_secret_key(tmp_path)
    (tmp_path / "secret_key").unlink()
    os.mkfifo(tmp_path / "secret_key", 0o600)
    with pytest.raises(SecretKeyError, match="not a plain file"):
        read_secret_key(tmp_path)


def test_a_folder_that_is_absent_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(SecretKeyError, match="set SUPABASE_SECRET_KEY"):
        obtain_secret_key(tmp_path / "absent")


def test_processes_that_start_at_once_agree(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from outlast.host.secret_key import obtain_secret_key;"
        "print('ready', flush=True); sys.stdin.readline();"
        f"key = obtain_secret_key(Path({str(tmp_path)!r})); print(key.value, key.made)"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(6)
    ]
    try:
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.flush()
        answers = [process.communicate(timeout=30)[0].split() for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()
    assert len({value for value, _ in answers}) == 1
    assert sorted(made for _, made in answers) == ["False"] * 5 + ["True"]
    assert [each.name for each in tmp_path.iterdir()] == ["secret_key"]
