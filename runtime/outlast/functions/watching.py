"""Follow the functions folder: what is saved is served a moment later."""

from __future__ import annotations

import asyncio
from pathlib import Path

from outlast.core.observations import LoopFailed
from outlast.functions.catalog import Catalog

DEBOUNCE_MS = 200
STEP_MS = 30
RESCAN_MS = 2000


async def watch(catalog: Catalog, stop: asyncio.Event) -> None:
    """Reload what changes until `stop` is set.

    Files are imported in a thread and swapped in on the loop. Every two seconds the folder is looked through
    as well, for the changes that no notice comes of: those before the watch began, those on network drives.
    """
    from watchfiles import awatch

    notices = awatch(
        catalog.folder,
        stop_event=stop,
        debounce=DEBOUNCE_MS,
        step=STEP_MS,
        rust_timeout=RESCAN_MS,
        yield_on_timeout=True,
    )
    told = ""
    async for notice in notices:
        changed = {Path(path) for _, path in notice}
        try:
            edition = await asyncio.to_thread(catalog.prepare, changed)
        except Exception as error:  # noqa: BLE001 - the watch outlives a folder that is gone for a moment
            text = f"{type(error).__name__}: {error}"
            if text != told:
                catalog.observe(LoopFailed("watch", text))
            told = text
            continue
        told = ""
        catalog.adopt(edition)
