"""The `.outlast` folder: who owns it, and how its files are opened so that nobody can redirect them.

Everything in `HOME/postgres` belongs to the user that the server runs as. For an ordinary user that is the
user. Postgres refuses to run as root. So root runs it as the folder's owner. If that is root, too, it runs as
a user id that no account has, so that no other program on the machine runs under it. The id is chosen once;
after that it is the folder's owner. Everything is reached through open directories. So a folder that another
user may change can't make root write elsewhere.
"""

from __future__ import annotations

import contextlib
import errno
import os
import pwd
import stat
from dataclasses import dataclass
from pathlib import Path

from outlast.host.embedded.errors import EmbeddedPostgresError

# Debian keeps 65000–65533 unassigned, systemd 65520–65533 (systemd's UIDS-GIDS.md), and the 65536 ids of a
# container's map include them.
_FREE_UIDS = range(65527, 65519, -1)


@dataclass(frozen=True)
class Folder:
    """`HOME/postgres`, open. `uid` and `gid` are the server's; the caller must close `fd`."""

    path: Path
    fd: int
    uid: int
    gid: int

    def has(self, name: str) -> bool:
        try:
            os.stat(name, dir_fd=self.fd, follow_symlinks=False)
        except FileNotFoundError:
            return False
        return True

    def open_file(self, name: str, flags: int) -> int:
        """Open a plain file of the server's user here, created if missing; programs don't inherit it."""
        wrong = EmbeddedPostgresError(f"{self.path / name} is not a file that Outlast made: remove it")
        try:
            fd = os.open(
                name, flags | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o600, dir_fd=self.fd
            )
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.EISDIR, errno.ENXIO):  # a link, a folder, a pipe
                raise wrong from error
            raise
        seen = os.fstat(fd)
        if not stat.S_ISREG(seen.st_mode) or seen.st_nlink != 1 or seen.st_uid not in (0, self.uid):
            os.close(fd)
            raise wrong
        if seen.st_uid != self.uid:
            os.fchown(fd, self.uid, self.gid)
        return fd


def open_folder(home: Path) -> Folder:
    """Make `home`, its `.gitignore` and `home/postgres` if they are missing, and open the last.

    Raises EmbeddedPostgresError if they can't be made, or belong to another user.
    """
    home = Path(os.path.realpath(home))
    path = home / "postgres"
    try:
        home_fd = _make_home(home)
    except OSError as error:
        raise EmbeddedPostgresError(
            f"{home} can't be made or opened ({error.strerror}): make it writable, or set SUPABASE_DB_URL"
        ) from error
    try:
        return _open_postgres(home_fd, path)
    except OSError as error:
        raise EmbeddedPostgresError(_refusal(home_fd, path, error)) from error
    finally:
        os.close(home_fd)


def group_of(uid: int) -> int:
    """The user's own group, or for an id without an account a group without one."""
    try:
        return pwd.getpwuid(uid).pw_gid
    except KeyError:
        return uid


def has_account(uid: int) -> bool:
    try:
        pwd.getpwuid(uid)
    except KeyError:
        return False
    return True


def _make_home(home: Path) -> int:
    new = not home.exists()
    home.mkdir(parents=True, exist_ok=True)
    fd = os.open(home, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        owner = home.parent.stat().st_uid
        if new and os.geteuid() == 0 and owner != 0 and os.fstat(fd).st_uid == 0:
            os.fchown(fd, owner, group_of(owner))
        _write_gitignore(fd)
    except OSError:
        os.close(fd)
        raise
    return fd


def _write_gitignore(home_fd: int) -> None:
    try:
        fd = os.open(
            ".gitignore",
            os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC,
            0o644,
            dir_fd=home_fd,
        )
    except (FileExistsError, PermissionError):
        return
    try:
        os.write(fd, b"*\n")
        if os.geteuid() == 0:
            owner = os.fstat(home_fd)
            os.fchown(fd, owner.st_uid, owner.st_gid)
    finally:
        os.close(fd)


def _open_postgres(home_fd: int, path: Path) -> Folder:
    with contextlib.suppress(FileExistsError):
        os.mkdir("postgres", 0o700, dir_fd=home_fd)
    fd = os.open("postgres", os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=home_fd)
    try:
        owner = os.fstat(fd).st_uid
        if os.geteuid() == 0 and owner == 0:
            owner = os.fstat(home_fd).st_uid or _free_uid()
            os.fchown(fd, owner, group_of(owner))
        if os.geteuid() not in (0, owner):
            raise PermissionError(1, "owned by another user")
        if os.fstat(fd).st_mode & 0o777 != 0o700:
            os.fchmod(fd, 0o700)
        if os.fstat(fd).st_mode & 0o777 != 0o700 or os.fstat(fd).st_uid != owner:
            raise PermissionError(1, "its file system keeps no owners and modes, which Postgres needs")
    except OSError:
        os.close(fd)
        raise
    return Folder(path=path, fd=fd, uid=owner, gid=group_of(owner))


def _free_uid() -> int:
    for uid in _FREE_UIDS:
        if not has_account(uid):
            return uid
    return _FREE_UIDS[0]


def _refusal(home_fd: int, path: Path, error: OSError) -> str:
    """Return one line for a folder that can't be used: who owns it, and how to change that."""
    me = os.geteuid()
    try:
        owner = os.stat("postgres", dir_fd=home_fd, follow_symlinks=False).st_uid
    except OSError:
        owner = me
    if owner == me or me == 0:
        return f"{path} can't be used ({error.strerror}): move .outlast elsewhere, or set SUPABASE_DB_URL"
    return (
        f"{path} belongs to user id {owner} and this process runs as {me}: run as that user or as root, "
        f"or take the folder over with sudo chown -R {me} {path.parent}"
    )
