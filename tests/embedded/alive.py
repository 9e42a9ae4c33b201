"""Whether a server takes connections, asked as `pg_isready` does. Other processes run this text, too."""

from __future__ import annotations

import contextlib
import socket
import struct
import time

from outlast.host.embedded import EmbeddedPostgres, EmbeddedPostgresError
from outlast.host.embedded.attach import log_tail
from outlast.host.embedded.settings import SOCKET

# Postgres manual, "Message Formats": StartupMessage (protocol 3.0), Terminate, an error's SQLSTATE field.
PARAMETERS = b"user\0postgres\0database\0postgres\0\0"
STARTUP = struct.pack("!ii", 8 + len(PARAMETERS), 3 << 16) + PARAMETERS
TERMINATE = struct.pack("!ci", b"X", 4)
CANNOT_CONNECT_NOW = b"C57P03\0"


def alive(server: EmbeddedPostgres) -> bool:
    """Whether it takes connections now; false once it was stopped. Costs it one connection."""
    if server._stopped:
        return False
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(f"{server._use.sockets}/{SOCKET}")
            probe.sendall(STARTUP)
            answer = probe.recv(1024)
        except OSError:
            return False
        with contextlib.suppress(OSError):  # where the answer was no, the other end is closed
            probe.sendall(TERMINATE)
    return answer != b"" and CANNOT_CONNECT_NOW not in answer


def revive(server: EmbeddedPostgres) -> None:
    """Return when it takes connections again. The background sees to that unasked; here it is also tried."""
    deadline = time.monotonic() + 30.0
    while True:
        server._reattach(deadline)
        if alive(server):
            return
        if time.monotonic() > deadline:
            raise EmbeddedPostgresError(f"the embedded Postgres does not answer{log_tail(server._folder)}")
        time.sleep(0.005)
