"""Follow the functions folder: what is saved is served a moment later."""

from __future__ import annotations

import asyncio
from pathlib import Path

from outlast.core.observations import LoopFailed
from outlast.functions.catalog import Catalog

DEBOUNCE_MS = 200
STEP_MS = 30
LOOK_MS = 500
LOOKS_A_RESCAN = 4


async def watch(catalog: Catalog, stop: asyncio.Event) -> None:
    """Reload what changes until `stop` is set.

    Files are imported in a thread and swapped in on the loop. What is said of functions elsewhere
    (`config.toml`, `.env`) is looked at twice a second. Every two seconds the folder is looked through, for
    changes that no notice comes of: those before the watch began, those on network drives.
    """
    from watchfiles import awatch

    notices = awatch(
        catalog.folder,
        stop_event=stop,
        debounce=DEBOUNCE_MS,
        step=STEP_MS,
        rust_timeout=LOOK_MS,
        yield_on_timeout=True,
    )
    told = ""
    looks = 0
    async for notice in notices:
        changed = {Path(path) for _, path in notice}
        looks += 1
        try:
            due = changed or looks % LOOKS_A_RESCAN == 0
            if not due and not await asyncio.to_thread(catalog.redeclared):
                continue
            edition = await asyncio.to_thread(catalog.prepare, changed)
        except Exception as error:  # noqa: BLE001 - the watch outlives a folder that is gone for a moment
            text = f"{type(error).__name__}: {error}"
            if text != told:
                catalog.observe(LoopFailed("watch", text))
            told = text
            continue
        told = ""
        catalog.adopt(edition)
