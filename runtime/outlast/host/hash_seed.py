"""Every process of a project hashes texts alike, so that the order of a set is the same after a restart.

Python draws the seed of its hashes before anything else runs. So it is put into the environment, and the
process starts itself once more. It follows from what all instances share and no client knows.
"""

from __future__ import annotations

import hashlib
import os
import sys
from urllib.parse import urlsplit

NAME = "PYTHONHASHSEED"
_SEEDS = 2**32


def hash_alike(shared: str | None) -> None:
    """Start this process anew with a seed that follows from `shared`, unless it has one; None: do nothing.

    Of a URL only its password counts, if it has one: some instances may go through a pooler.
    """
    if shared is None or os.environ.get(NAME, "random") != "random":
        return
    os.environ[NAME] = str(seed_of(shared))
    # guard: sets-hashed-anew
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def seed_of(shared: str) -> int:
    """The seed that processes with this secret hash by."""
    try:
        secret = urlsplit(shared).password or shared
    except ValueError:
        secret = shared
    digest = hashlib.sha256(b"outlast hash seed\0" + secret.encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big") % _SEEDS
