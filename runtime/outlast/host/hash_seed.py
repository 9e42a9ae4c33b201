"""Gives all processes of a project the same hash seed, so that sets keep their order after a restart.

Python chooses its hash seed before anything else runs. So the seed is put into the environment, and the
process starts itself once more. The seed follows from a secret that all instances share and no client knows.
"""

from __future__ import annotations

import hashlib
import os
import sys
from urllib.parse import urlsplit

NAME = "PYTHONHASHSEED"
_SEEDS = 2**32


def hash_alike(shared: str | None) -> None:
    """Restart this process with a seed that follows from `shared`, unless it has one; None: do nothing.

    Of a URL that has a password only the password counts, because some instances may go through a pooler.
    """
    if shared is None or os.environ.get(NAME, "random") != "random":
        return
    os.environ[NAME] = str(seed_of(shared))
    # guard: sets-hashed-anew
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def seed_of(shared: str) -> int:
    """The hash seed of processes with this secret."""
    try:
        secret = urlsplit(shared).password or shared
    except ValueError:
        secret = shared
    digest = hashlib.sha256(b"outlast hash seed\0" + secret.encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big") % _SEEDS
