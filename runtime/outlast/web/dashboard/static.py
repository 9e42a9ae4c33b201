"""Style sheets and modules of the pages: read once, each address names the edition, so browsers keep them."""

from __future__ import annotations

import gzip
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from outlast.web.http.answers import Answer, Pairs
from outlast.web.http.calls import Call
from outlast.web.http.problems import Problem, ProblemError

STATIC = "/dashboard/static/"
_FOLDER = Path(__file__).parent / "static"
_TYPES = {".css": "text/css", ".mjs": "text/javascript", ".svg": "image/svg+xml"}
_KEPT = "public, max-age=31536000, immutable"
_ASKED_AGAIN = "no-cache"


class Asset(NamedTuple):
    """A file as it is sent."""

    type: str
    body: bytes
    zipped: bytes
    etag: str


class Assets:
    """The files of `static/`. Nothing is read before the first page is shown."""

    @cached_property
    def files(self) -> dict[str, Asset]:
        """Each by its name."""
        found = sorted(path for path in _FOLDER.iterdir() if path.suffix in _TYPES)
        return {path.name: _asset(path) for path in found}

    @cached_property
    def edition(self) -> str:
        """Changes with the contents of any file: modules import each other by relative addresses."""
        every = "".join(f"{name} {each.etag}\n" for name, each in self.files.items())
        return sha256(every.encode()).hexdigest()[:16]

    def url(self, name: str) -> str:
        """The address of a file. Raises KeyError."""
        assert self.files[name]
        return f"{STATIC}{self.edition}/{name}"

    async def answer(self, call: Call, edition: str, file: str) -> Answer:
        """The file. One of another edition is asked for again. Raises ProblemError (404)."""
        asset = self.files.get(file)
        if asset is None:
            raise ProblemError(Problem("NOT_FOUND", "there is no such file"))
        headers: Pairs = [
            (b"etag", asset.etag.encode()),
            (b"cache-control", (_KEPT if edition == self.edition else _ASKED_AGAIN).encode()),
            (b"vary", b"accept-encoding"),
        ]
        if call.header(b"if-none-match") == asset.etag:
            return Answer(304, headers=headers)
        headers.append((b"content-type", f"{asset.type}; charset=utf-8".encode()))
        if not call.accepts(b"accept-encoding", "gzip"):
            return Answer(200, asset.body, headers)
        return Answer(200, asset.zipped, [*headers, (b"content-encoding", b"gzip")])


def _asset(path: Path) -> Asset:
    body = path.read_bytes()
    return Asset(
        _TYPES[path.suffix], body, gzip.compress(body, mtime=0), f'"{sha256(body).hexdigest()[:24]}"'
    )
