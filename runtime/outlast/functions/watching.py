"""Watches the functions folder, so that saved files are served a moment later."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import Any

from outlast.core.background import Loop
from outlast.functions.catalog import Catalog

DEBOUNCE_MS = 200
STEP_MS = 30
LOOK_MS = 500
LOOKS_A_RESCAN = 4


class FolderWatch:
    """A background loop that reloads what changes.

    Files are imported in a thread, and put into effect on the loop. Declarations outside of the files
    (`config.toml`, `.env`) are checked twice a second. Every two seconds the whole folder is checked for
    changes without a notice: those before the watch began, and those on network drives.
    """

    def __init__(self, catalog: Catalog, adopted: Callable[[], None] = lambda: None) -> None:
        """`adopted` is called after the served functions have changed."""
        self.loop = Loop("watch", self._follow, catalog.observe)
        self._catalog = catalog
        self._adopted = adopted
        self._notices: AsyncGenerator[set[tuple[Any, str]], None] | None = None
        self._looks = 0

    async def _follow(self) -> float:
        """Wait for a notice or for the next check, and load what has changed."""
        self._looks += 1
        changed = {Path(path) for _, path in await self._notice()}
        due = changed or self._looks % LOOKS_A_RESCAN == 0
        if due or await asyncio.to_thread(self._catalog.redeclared):
            self._catalog.adopt(await asyncio.to_thread(self._catalog.prepare, changed))
            self._adopted()
        return 0.0

    async def _notice(self) -> set[tuple[Any, str]]:
        if self._notices is None:
            from watchfiles import awatch

            self._notices = awatch(
                self._catalog.folder,
                debounce=DEBOUNCE_MS,
                step=STEP_MS,
                rust_timeout=LOOK_MS,
                yield_on_timeout=True,
            )
        try:
            return await anext(self._notices)
        except BaseException:
            self._notices = None  # it has ended: the next round starts another
            raise
