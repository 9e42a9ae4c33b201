"""What `outlast db wake` writes: one more migration of the project, after all that are there."""

from __future__ import annotations

from pathlib import Path

from outlast.cli.files import write_new

_NAME = "outlast_wake"


def write_wake(url: str, every_s: int, folder: Path) -> tuple[Path, bool]:
    """The migration's file, and whether it had to be written. Raises CommandFailed, BadWakeUrl.

    A file that is there is never changed, for it may have been applied: another URL makes another migration.
    """
    from outlast.core.clock import Clock
    from outlast.store.migrations import migrations, migrations_in
    from outlast.store.wake import wake_migration

    text = wake_migration(url, every_s)
    there = migrations_in(folder)
    former = [each for each in there if each.name == _NAME]
    if former and former[-1].text() == text:
        return former[-1].path, False
    newest = max(int(each.version) for each in [*there, *migrations()])
    version = max(int(Clock().now().strftime("%Y%m%d%H%M%S")), newest + 1)
    path = folder / f"{version:014}_{_NAME}.sql"
    return path, write_new(path, text.encode())
