"""Uses in a body that break replay: the machine's clock, random numbers, files, network, blocking sleeps."""

from __future__ import annotations

import sys
import sysconfig
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from outlast.core.places import is_ours
from outlast.engine.bodies import watching
from outlast.sdk.running import current_line
from outlast.testing.points import Place

Found = Callable[[Place, str], None]

_LIBRARY = sysconfig.get_paths()["stdlib"]
_INNER = (
    "/importlib/",
    "/linecache.py",
    "/traceback.py",
    "/logging/",
    "/warnings.py",
    "/tokenize.py",
    "/inspect.py",
)
"""Code in these opens files for Python itself, no matter who calls it."""

_STEP = "a body runs again after a crash: put it into a @step"
_AUDITED = {
    "time.sleep": "pauses its thread, and every other workflow with it: `await outlast.sleep(…)`",
    "open": f"opens a file; {_STEP}",
    "os.listdir": f"reads a folder; {_STEP}",
    "os.scandir": f"reads a folder; {_STEP}",
    "os.remove": f"removes a file; {_STEP}",
    "os.mkdir": f"makes a folder; {_STEP}",
    "os.rename": f"renames a file; {_STEP}",
    "os.system": f"runs a program; {_STEP}",
    "subprocess.Popen": f"runs a program; {_STEP}",
    "socket.connect": f"reaches for the network; {_STEP}",
    "socket.sendto": f"reaches for the network; {_STEP}",
    "socket.getaddrinfo": f"reaches for the network; {_STEP}",
    "socket.gethostbyname": f"reaches for the network; {_STEP}",
    "sqlite3.connect": f"opens a database; {_STEP}",
}

PAUSES = "time.sleep"
# Python reports it itself since 3.13. Before, the profiler that looks for clocks sees it.
watching._READS.setdefault(("time", "sleep"), "outlast.sleep()")

_found: list[Found] = []
_installed = False


def said_of(what: str, instead: str) -> str:
    """The text about a body that calls `what`."""
    if what == PAUSES:
        return _AUDITED[PAUSES]
    return f"reads {what}, which gives something else on replay: write {instead}"


@contextmanager
def audited(found: Found) -> Iterator[None]:
    """Report to `found` what bodies do, in any thread, within this."""
    global _installed
    if not _installed:
        _installed = True
        sys.addaudithook(_hear)
    _found.append(found)
    try:
        yield
    finally:
        _found.pop()


def _hear(event: str, _: object) -> None:
    if not _found or event not in _AUDITED or current_line() is None:
        return
    frame = _user_frame()
    if frame is not None:
        _found[-1]((frame.f_code.co_filename, frame.f_lineno), _AUDITED[event])


def _user_frame() -> FrameType | None:
    """The user's frame that asked; None if Python asked for itself."""
    frame: FrameType | None = sys._getframe(2)
    while frame is not None:
        file = frame.f_code.co_filename
        if any(each in file for each in _INNER) or file.startswith("<frozen"):
            return None
        if not file.startswith(_LIBRARY) or "site-packages" in file:
            return None if is_ours(frame) else frame
        frame = frame.f_back
    return None
