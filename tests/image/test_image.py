"""The image as it is shipped: what is in it, what it may do, and that its workflows outlast it."""

from __future__ import annotations

import json
import signal
import socket
from collections.abc import Callable
from pathlib import Path

import httpx
import psycopg
import pytest

from tests.hosts import LIMIT_S, SECRET, until
from tests.image.building import MARK, PROJECT
from tests.image.containers import Container, Served

pytestmark = pytest.mark.slow

Serve = Callable[[], Served]
ORDER = {"quantity": 5, "card": "4242"}


@pytest.fixture
def serve(image: Container, address: str, tmp_path: Path, started: list[Served]) -> Serve:
    """Start the image's own host, on a free port."""

    def start() -> Served:
        with socket.create_server(("127.0.0.1", 0)) as door:
            port = str(door.getsockname()[1])
        log = tmp_path / f"host-{len(started)}.log"
        host = image.serve(log, PORT=port, SUPABASE_DB_URL=address, SUPABASE_SECRET_KEY=SECRET)
        started.append(host)
        host.url = f"http://127.0.0.1:{port}"
        return host.until_ready()

    return start


def order(host: Served, key: str, prefer: str = "") -> httpx.Response:
    headers = {"apikey": SECRET, "idempotency-key": key, "prefer": prefer}
    return httpx.post(f"{host.url}/functions/v1/checkout", json=ORDER, headers=headers, timeout=LIMIT_S)


def test_checkout_works_once_its_tables_are_there_and_outlasts_the_container(
    serve: Serve, empty_database: str, image: Container
) -> None:
    with psycopg.connect(empty_database) as connection:
        connection.execute((PROJECT / "supabase/seed.sql").read_bytes())  # as docs/deploy.md says
    host = serve()
    assert host.post("hello", "h", {"name": "Ada"}).json() == {"message": "Hello, Ada!"}
    accepted = order(host, "o", "respond-async")
    assert accepted.status_code == 202, accepted.text
    assert image.run(*health_check(image), PORT=host.url.rpartition(":")[2]).returncode == 0
    host.kill()
    host = serve()
    assert host.post("checkout/restock", "r", {"quantity": 10}).json() == {"stock": 13}
    assert order(host, "o").json()["quantity"] == 5
    host.signal(signal.SIGTERM)
    assert host.ended() == 0
    assert "Read-only file system" not in host.said()


def test_the_health_check_fails_where_nobody_serves(image: Container) -> None:
    with socket.create_server(("127.0.0.1", 0)) as door:
        port = str(door.getsockname()[1])
    assert image.run(*health_check(image), PORT=port).returncode == 1


def health_check(image: Container) -> list[str]:
    kind, *command = image.config["Healthcheck"]["Test"]
    assert kind == "CMD"
    return command


def test_it_may_write_nothing_and_is_nobody(image: Container) -> None:
    assert "Read-only file system" in image.run("touch", "/app/x").stderr
    assert image.run("touch", "/tmp/x").returncode == 0
    status = image.run("cat", "/proc/self/status").stdout
    lines = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert lines["Uid"].split() == ["10001"] * 4
    assert {int(lines[name], 16) for name in ("CapEff", "CapPrm", "CapBnd", "CapInh")} == {0}


def test_no_secret_of_the_project_is_in_it(image: Container) -> None:
    found = image.run("grep", "-rlF", MARK, "/app", "/opt", "/src", "/tmp")
    assert found.stdout == ""
    assert image.run("ls", "/app/functions/hello.py", "/app/supabase/migrations").returncode == 0


def test_its_sbom_lists_what_is_installed(image: Container) -> None:
    sbom = json.loads(image.run("cat", "/opt/outlast/share/sbom/outlast.cdx.json").stdout)
    assert sbom["bomFormat"] == "CycloneDX"
    listed = {(each["name"].lower().replace("_", "-"), each["version"]) for each in sbom["components"]}
    code = "from importlib.metadata import distributions as d; print([(x.name, x.version) for x in d()])"
    installed = eval(image.run("python", "-c", code).stdout)  # noqa: S307 - our own image's answer
    assert {(name.lower().replace("_", "-"), version) for name, version in installed} == listed
    assert any(name == "outlast" for name, _ in listed)


def test_it_tells_what_it_wants(image: Container, tmp_path: Path, started: list[Served]) -> None:
    host = image.serve(tmp_path / "log")
    started.append(host)
    assert host.ended() != 0
    until(lambda: "SUPABASE_DB_URL" in host.said(), "the setting that is missing")
