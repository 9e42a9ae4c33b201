"""Follow the functions folder: what is saved is served a moment later."""

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

    Files are imported in a thread and swapped in on the loop. What is said of functions elsewhere
    (`config.toml`, `.env`) is looked at twice a second. Every two seconds the folder is looked through, for
    changes that no notice comes of: those before the watch began, those on network drives.
    """

    def __init__(self, catalog: Catalog, adopted: Callable[[], None] = lambda: None) -> None:
        """`adopted` is called once something else is served."""
        self.loop = Loop("watch", self._follow, catalog.observe)
        self._catalog = catalog
        self._adopted = adopted
        self._notices: AsyncGenerator[set[tuple[Any, str]], None] | None = None
        self._looks = 0

    async def _follow(self) -> float:
        """Wait for a notice, or for the next look, and load what has changed."""
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
            self._notices = None  # it has ended: the next round makes another
            raise
