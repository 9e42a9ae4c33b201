"""How often Python's garbage collector runs: never while a host loads, rarely while calls are served."""

from __future__ import annotations

import gc

YOUNG = 25_000
"""Objects between two young collections.

A call makes some hundred objects that live as long as it does. With the usual 700, or with 5,000, collections
would examine the calls in flight again and again.
"""


def collect_later() -> None:
    """Call this before anything is loaded: loaded objects stay, so examining them again only costs time."""
    gc.disable()


def collect_seldom(*, loaded_stays: bool) -> None:
    """Call this when everything is loaded.

    With `loaded_stays`, later collections leave out what is loaded.
    """
    if loaded_stays:
        gc.collect()
        gc.freeze()
    gc.set_threshold(YOUNG, 20, 20)
    gc.enable()
