"""A real host process under test, as callers see it over TCP and operators in the database and the log."""

from __future__ import annotations

import itertools
import os
import socket
import sys
import uuid
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import psycopg

from outlast.host.hash_seed import seed_of
from tests.hosts import NO_CERTIFICATES, SECRET, Host, until

LIMIT_S = 20.0
FUNCTIONS = Path(__file__).parent / "functions"
PUBLISHABLE = "sb_publishable_of_the_tests_0123456789"
OF_THE_HOST = {
    "overloaded",
    "shutting_down",
    "database_unavailable",
    "internal_error",
    "jwks_unavailable",
}
_SETTINGS = ("OUTLAST_", "SUPABASE_", "PG", "PORT")
_numbers = itertools.count(1)


def fresh_key() -> str:
    return str(uuid.uuid4())


class Served:
    """A host on a database of its own or another's. `client` is a stranger, `admin` bears the secret key."""

    def __init__(
        self,
        folder: Path,
        database: str,
        *options: str,
        ready: bool = True,
        descriptors: int | None = None,
        **settings: object,
    ) -> None:
        """Wait until it is ready for calls, or only until it listens.

        `descriptors` limits how many files and sockets it may open.
        """
        self.folder = folder
        self.database = database
        self.process = _launch(folder, database, options, settings, descriptors)
        if ready:
            self.process.until_ready()
        else:
            until(
                lambda: self.process.listening() and self.process.asked("/healthz") == 200, "a sign of life"
            )
        self.url = self.process.url
        self.client = self._client({"authorization": f"Bearer {PUBLISHABLE}"})
        self.admin = self._client({"apikey": SECRET})
        self._threads = ThreadPoolExecutor(32)
        self._connection: psycopg.Connection | None = None

    def _client(self, headers: Mapping[str, str]) -> httpx.Client:
        return httpx.Client(
            base_url=self.url,
            headers=headers,
            timeout=LIMIT_S,
            verify=NO_CERTIFICATES,
            limits=httpx.Limits(max_connections=50),
            event_hooks={"response": [check_shared]},
        )

    def close(self) -> None:
        """End it, and look into its log for what must never be there."""
        for client in (self.client, self.admin):
            client.close()
        if self._connection is not None:
            self._connection.close()
        self._threads.shutdown(cancel_futures=True)
        self.process.close()
        said = self.process.said()
        print(said)  # noqa: T201 - captured
        for secret in (SECRET, PUBLISHABLE, "eyJhbGci"):
            assert secret not in said, "a credential is in the log"
        for complaint in ("ASGI callable", "Exception in ASGI", "Task was destroyed", "never retrieved"):
            assert complaint not in said, said

    # --- calls --------------------------------------------------------------------------------------------

    def call(
        self, function: str, body: Any = None, *, key: str | None = None, **options: Any
    ) -> httpx.Response:
        """POST a JSON body to a function. `options` are httpx's; `prefer` and `accept` are header fields."""
        headers = {} if key is None else {"idempotency-key": key}
        headers |= {name: options.pop(name) for name in ("prefer", "accept") if name in options}
        headers |= options.pop("headers", {})
        if body is not None:
            options["json"] = body
        method = options.pop("method", "POST")
        client = options.pop("client", self.client)
        return client.request(method, f"/functions/v1/{function}", headers=headers, **options)

    def calling(self, *args: Any, **options: Any) -> Future[httpx.Response]:
        """`call` in a thread."""
        return self._threads.submit(self.call, *args, **options)

    def fetching(self, path: str) -> Future[httpx.Response]:
        """GET with the secret key, in a thread."""
        return self._threads.submit(self.admin.get, path)

    def begin(self, function: str, key: str, body: Any = None) -> str:
        """Start a held workflow without waiting for its end, and wait until it is held; its id."""
        answer = self.call(function, {"key": key} if body is None else body, key=key, prefer="respond-async")
        assert answer.status_code == 202, answer.text
        self.until_seen(key)
        return answer.headers["workflow-id"]

    @contextmanager
    def connection(self) -> Iterator[Wire]:
        """A TCP connection to send bytes over."""
        parts = urlsplit(self.url)
        with socket.create_connection((parts.hostname, parts.port), LIMIT_S) as wire:
            wire.settimeout(LIMIT_S)
            yield Wire(wire)

    # --- what is seen otherwise ---------------------------------------------------------------------------

    def seen(self, key: str) -> int:
        """How often the work of a key was done."""
        path = self.folder / f"{key}.seen"
        return len(path.read_text()) if path.exists() else 0

    def until_seen(self, key: str) -> None:
        until(lambda: self.seen(key), f"{key} to run")

    def open(self, key: str) -> None:
        """Let go what is held for a key."""
        (self.folder / f"{key}.open").touch()

    def query(self, text: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """What the database says."""
        if self._connection is None or self._connection.closed:
            self._connection = psycopg.connect(self.database, autocommit=True)
        cursor = self._connection.execute(text.encode(), parameters)
        return cursor.fetchall() if cursor.description else []

    def rows(self) -> int:
        """How many workflows there are."""
        return self.query("select count(*) from outlast.workflow_status")[0][0]

    def status(self, workflow_id: str) -> str:
        (row,) = self.query("select status from outlast.workflow_status where workflow_id = %s", workflow_id)
        return row[0]

    def until_status(self, workflow_id: str, status: str) -> None:
        until(lambda: self.status(workflow_id) == status, f"{workflow_id} to be {status}")

    def refused(self, function: str, body: Any = None, **options: Any) -> httpx.Response:
        """A call that must not leave a row."""
        before = self.rows()
        answer = self.call(function, body, **options)
        assert self.rows() == before, "a refused call left a row"
        return answer

    def log_of(self, workflow_id: str) -> list[str]:
        """The log's lines that name a workflow, once there are any."""
        until(lambda: workflow_id in self.process.said(), f"a line about {workflow_id}")
        return [line for line in self.process.said().splitlines() if workflow_id in line]


@dataclass
class Parsed:
    """An answer read off the wire."""

    status: int
    headers: dict[str, str]
    body: bytes


@dataclass
class Wire:
    """A TCP connection."""

    socket: socket.socket
    _read: bytes = field(default=b"", init=False)

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def line(self) -> bytes:
        """The next line, without its end."""
        return self._until(b"\r\n")

    def answer(self) -> Parsed:
        """The next answer. Its body needs a Content-Length."""
        head = self._until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        headers = {
            name.lower(): value.strip() for name, _, value in (each.partition(":") for each in head[1:])
        }
        size = int(headers.get("content-length", 0))
        while len(self._read) < size:
            self._more()
        body, self._read = self._read[:size], self._read[size:]
        return Parsed(int(head[0].split()[1]), headers, body)

    def rest(self) -> bytes:
        """All until the other side closes the connection."""
        try:
            while data := self.socket.recv(65536):
                self._read += data
        except ConnectionResetError:
            pass
        rest, self._read = self._read, b""
        return rest

    def _until(self, end: bytes) -> bytes:
        while end not in self._read:
            self._more()
        found, _, self._read = self._read.partition(end)
        return found

    def _more(self) -> None:
        data = self.socket.recv(65536)
        assert data, f"the connection ended after {self._read!r}"
        self._read += data


def check_shared(answer: httpx.Response) -> None:
    """What every answer holds."""
    assert answer.headers["access-control-allow-origin"] in ("*", "https://example.com")
    if answer.headers["access-control-allow-origin"] == "*":
        exposed = answer.headers["access-control-expose-headers"].split(", ")
        assert {"workflow-id", "idempotency-replayed", "location", "retry-after"} <= set(exposed)
        assert {"preference-applied", "link", "sb-error-code", "x-relay-error"} <= set(exposed)
    assert "server" not in answer.headers
    if "workflow-id" in answer.headers:
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["link"].startswith("</workflows/v1/")
        assert answer.headers["link"].endswith('>; rel="status"')


def check_problem(
    answer: httpx.Response,
    status: int,
    code: str,
    *,
    retryable: bool = False,
    more: AbstractSet[str] = frozenset(),
) -> dict[str, Any]:
    """An error that all three kinds of reader understand; its body."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["sb-error-code"] == code
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers.get("x-relay-error") == ("true" if code in OF_THE_HOST else None)
    document = answer.json()
    names = {"type", "title", "status", "detail", "error", "code", "message", "msg", "retryable"}
    assert set(document) == names | more
    assert document["type"] == f"urn:outlast:problem:{code}"
    assert document["title"]
    assert document["status"] == status
    assert document["code"] == code
    assert document["retryable"] is retryable
    assert isinstance(document["detail"], str)
    assert document["detail"] == document["error"] == document["message"] == document["msg"] != ""
    assert "hunter2" not in answer.text
    assert "Traceback" not in answer.text
    if code in OF_THE_HOST and status == 503:
        assert 1 <= int(answer.headers["retry-after"]) <= 3
    return document


def same_answer(one: httpx.Response, other: httpx.Response) -> None:
    """Status, header fields and bytes agree; only whether it is a replay may differ."""
    assert one.status_code == other.status_code
    assert one.content == other.content
    assert _kept(one) == _kept(other)


def _kept(answer: httpx.Response) -> list[tuple[str, str]]:
    return sorted(pair for pair in answer.headers.multi_items() if pair[0] != "idempotency-replayed")


def memory_mb(host: Served) -> float:
    """The most that the host's process ever held; 0 where the system doesn't tell."""
    told = Path(f"/proc/{host.process.worker_pid()}/status")
    lines = told.read_text().splitlines() if told.exists() else []
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM")), 0.0)


def _launch(
    folder: Path,
    database: str,
    options: tuple[str, ...],
    settings: dict[str, object],
    descriptors: int | None,
) -> Host:
    env = {name: value for name, value in os.environ.items() if not name.startswith(_SETTINGS)}
    env |= {
        "SUPABASE_DB_URL": database,
        "PYTHONHASHSEED": str(seed_of(database)),  # or it would start itself anew to have it
        "SUPABASE_SECRET_KEY": SECRET,
        "HTTP_FOLDER": str(folder),
        "OUTLAST_LOG_FORMAT": "text",
        "PYTHONUNBUFFERED": "1",
    }
    env |= {
        name if name.isupper() else f"OUTLAST_{name.upper()}": str(value) for name, value in settings.items()
    }
    command = [sys.executable, "-m", "outlast", "serve", "--functions", str(FUNCTIONS), "--port", "0"]
    if descriptors is not None:
        command = ["sh", "-c", 'ulimit -n "$0" && exec "$@"', str(descriptors), *command]
    log = folder / f"host-{next(_numbers)}.log"
    return Host([*command, *options], env, folder, log)
