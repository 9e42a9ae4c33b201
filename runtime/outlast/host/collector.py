"""How often Python's garbage collector looks: not while a host loads, seldom while calls wait."""

from __future__ import annotations

import gc

YOUNG = 25_000
"""Objects between two young collections. A call makes some hundred that live as long as it does: at the usual
700, or at 5,000, collections would look through the calls in flight again and again."""


def collect_later() -> None:
    """Call this before anything is loaded: what is loaded stays, and to look through it again takes time."""
    gc.disable()


def collect_seldom(*, loaded_stays: bool) -> None:
    """Call this when everything is loaded. If it stays loaded, collections leave it out from then on."""
    if loaded_stays:
        gc.collect()
        gc.freeze()
    gc.set_threshold(YOUNG, 20, 20)
    gc.enable()
