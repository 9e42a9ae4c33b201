"""Restate: its server as a process of its own, its SDK behind hypercorn; default settings throughout."""

from __future__ import annotations

import contextlib
import json
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.contenders.contender import Site
from benchmarks.contenders.peers_venv import PYTHON, RESTATE, python_of_peers, restate_server
from benchmarks.harness.driving import Call
from benchmarks.harness.processes import BenchmarkError, Server, free_port, spawn, stopping

APP = Path(__file__).parents[1] / "apps" / "restate_app.py"
READY_S = 60.0


class Restate:
    """A single node with its default settings."""

    name = "restate"
    title = "Restate"
    warm_calls = 300

    def absent(self) -> str | None:
        """Without its server or environment."""
        return python_of_peers() or restate_server()

    @contextlib.contextmanager
    def serve(self, site: Site, **options: Any) -> Iterator[Server]:
        """See Contender."""
        port, ingress, admin, node = (free_port() for _ in range(4))
        data = site.folder / "restate"
        shutil.rmtree(data, ignore_errors=True)
        data.mkdir(parents=True)
        settings = {
            "RESTATE_BASE_DIR": str(data),
            "RESTATE_INGRESS__BIND_ADDRESS": f"127.0.0.1:{ingress}",
            "RESTATE_ADMIN__BIND_ADDRESS": f"127.0.0.1:{admin}",
            "RESTATE_BIND_ADDRESS": f"127.0.0.1:{node}",
            "RESTATE_LISTEN_MODE": "tcp",
            "RESTATE_DISABLE_TELEMETRY": "true",
            "DO_NOT_TRACK": "1",
        }
        with (
            stopping(spawn("restate-app", [str(PYTHON), str(APP), str(port)], port, site.log("restate-app"))),
            stopping(spawn("restate", [str(RESTATE)], ingress, site.log("restate"), env=settings)) as server,
        ):
            _register(server, admin, port)
            yield server

    def call(self, steps: int, **more: Any) -> Call:
        """See Contender."""
        return Call("/bench/steps", {"n": steps, **more})


def _register(server: Server, admin: int, port: int) -> None:
    """Tell the server where the service is, as soon as both are up."""
    body = json.dumps({"uri": f"http://127.0.0.1:{port}", "force": True, "use_http_11": False}).encode()
    deadline = time.monotonic() + READY_S
    while True:
        request = urllib.request.Request(
            f"http://127.0.0.1:{admin}/deployments", body, {"Content-Type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=10):
                return
        except (urllib.error.URLError, OSError) as error:
            if time.monotonic() > deadline or server.process.poll() is not None:
                raise BenchmarkError(f"Restate took no service: {error}\n{server.tail()}") from error
            time.sleep(0.2)
