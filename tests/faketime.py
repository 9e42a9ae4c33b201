"""A process whose wall clock is another than this machine's: libfaketime, where it is installed."""

from __future__ import annotations

from pathlib import Path

FAKETIME = next(
    (
        path
        for path in (
            Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1"),
            Path("/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1"),
            Path("/usr/lib64/faketime/libfaketimeMT.so.1"),
        )
        if path.exists()
    ),
    None,
)
"""The library to load before others; None where it is not installed."""


def moved(by_s: int) -> dict[str, str]:
    """The environment of a process whose clock is so many seconds ahead. Its monotonic one stays."""
    return {"LD_PRELOAD": str(FAKETIME), "FAKETIME": f"{by_s:+d}", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
