"""A page in headless Chromium, on an origin of its own, and the hosts it calls."""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.browser.looking import MISSING, Look
from tests.browser.shop import Shop, fill
from tests.databases import new_database
from tests.hosts import LIMIT_S
from tests.http.conftest import start_host

HERE = Path(__file__).parent
INSTALLED = HERE.parents[1] / "build" / "browser"
BUNDLE = INSTALLED / "node_modules" / "@supabase" / "supabase-js" / "dist" / "umd" / "supabase.js"
PAGE = b"""<!doctype html><meta charset="utf-8"><body>
<script src="/supabase.js"></script><script src="/page.js"></script>"""

__all__ = ["start_host"]


@pytest.fixture(scope="module")
def look() -> Iterator[Look]:
    """A browser that looks at pages."""
    found = Look.found()
    if found is None:
        pytest.skip(MISSING)
    yield found
    found.close()


@pytest.fixture(scope="module")
def empty_shop(postgres: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """A shop in which nothing has happened yet."""
    with new_database(postgres) as url:
        made = Shop(tmp_path_factory.mktemp("shop"), url)
        try:
            yield made
        finally:
            made.close()


@pytest.fixture(scope="module")
def shop(empty_shop: Shop) -> Shop:
    """A shop with a day behind it."""
    fill(empty_shop)
    return empty_shop


class Page:
    """A page, whose functions are called from here."""

    def __init__(self, node: str, chromium: str, address: str) -> None:
        self.origin = address
        self._node = subprocess.Popen(
            [node, "--no-warnings", str(HERE / "drive.mjs"), str(INSTALLED), chromium, address],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def call(self, name: str, *arguments: Any, close: bool = False) -> Any:
        """What a function of page.js gives. With `close` it is called in a page that `leave` closes."""
        assert self._node.stdin is not None
        assert self._node.stdout is not None
        self._node.stdin.write(json.dumps({"call": name, "with": arguments, "close": close}) + "\n")
        self._node.stdin.flush()
        line = self._node.stdout.readline()
        assert line, "the browser has gone"
        answer = json.loads(line)
        assert not (isinstance(answer, dict) and "thrown" in answer), answer
        return answer

    def leave(self) -> None:
        """Close the other page."""
        self.call("leave")

    def close(self) -> None:
        """End the browser."""
        with self._node:  # which closes its pipes
            try:
                self._node.communicate(timeout=LIMIT_S)
            except subprocess.TimeoutExpired:
                self._node.kill()


class _Files(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        found = {
            "/": ("text/html", PAGE),
            "/supabase.js": ("text/javascript", BUNDLE.read_bytes()),
            "/page.js": ("text/javascript", (HERE / "page.js").read_bytes()),
        }
        kind, body = found.get(self.path, ("text/plain", b""))
        self.send_response(200 if self.path in found else 404)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture(scope="session")
def page() -> Iterator[Page]:
    """The page of all tests of a process: a browser takes a second to start."""
    node, chromium = shutil.which("node"), shutil.which("chromium")
    if node is None or chromium is None or not (INSTALLED / "installed.json").exists():
        pytest.skip(
            "SKIPPED LOUDLY: no Chromium, Node or playwright-core here (tests/browser/setup gets them)"
        )
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Files)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    page = Page(node, chromium, f"http://127.0.0.1:{server.server_address[1]}/")
    yield page
    page.close()
    server.shutdown()
    server.server_close()
