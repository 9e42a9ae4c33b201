"""With `--reload`: applies changes of files other than functions, or says that they need a restart."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

from outlast.core.background import Loop
from outlast.core.errors import OutlastError
from outlast.core.observations import Observer, SchemaMigrated, SettingsChanged
from outlast.core.ports import Unreachable
from outlast.host.env_files import EnvFileError, read_env_file
from outlast.host.settings import ENV_FILE, Settings
from outlast.store.connections import Database
from outlast.store.migrations import migrations_in
from outlast.store.project import apply_project

LOOK_S = 1.0
_logger = logging.getLogger("outlast")
_Stamp = tuple[tuple[str, int, int], ...]


class Rereading:
    """A background loop that watches the project's migrations and seed, and the file of settings."""

    def __init__(self, settings: Settings, database: Database, project: Path, observe: Observer) -> None:
        """The files as they are now count as applied."""
        self.loop = Loop("reread", self._look, observe)
        self._settings = settings
        self._database = database
        self._project = project
        self._observe = observe
        self._seen = self._done = _stamp(project)
        self._told: list[str] = []

    async def _look(self) -> float:
        await self._look_at_project()
        await asyncio.to_thread(self._look_at_settings)
        return LOOK_S

    async def _look_at_project(self) -> None:
        """Apply new files if the database is the embedded one. A file that is still being written waits."""
        stamp = await asyncio.to_thread(_stamp, self._project)
        still, self._seen = stamp == self._seen, stamp
        if not still or stamp == self._done:
            return
        if self._settings.db_url is not None:
            _logger.warning("%s/ has changed: apply it with `supabase db push`", self._project)
            self._done = stamp
            return
        try:
            if applied := await apply_project(self._database, self._project):
                self._observe(SchemaMigrated.of(applied))
        except Unreachable:
            return  # the next look tries again
        except (OutlastError, OSError, UnicodeDecodeError) as error:
            _logger.error("%s", error)
        self._done = stamp

    def _look_at_settings(self) -> None:
        try:
            now = read_env_file(self._settings.env_file or ENV_FILE.absolute())
        except EnvFileError:
            return  # reading the functions' variables reports the same fault of the same file
        changed = self._settings.changed_in(now)
        if changed and changed != self._told:
            self._observe(SettingsChanged(", ".join(changed)))
        self._told = changed


def _stamp(project: Path) -> _Stamp:
    paths = [each.path for each in migrations_in(project / "migrations")] + [project / "seed.sql"]
    found = []
    for path in paths:
        try:
            seen = path.stat()
        except OSError:
            continue
        found.append((path.name, seen.st_mtime_ns, seen.st_size))
    return tuple(found)
