"""A workflow is killed while its saga undoes, and retried over HTTP: what was undone is done again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.hosts import LIMIT_S, SECRET, Hosts, ask, until

FUNCTION = """
import asyncio
from pathlib import Path

from outlast import receive, saga, step, workflow

HERE = Path({here!r})


def note(what: str) -> None:
    with (HERE / "trail").open("a") as trail:
        trail.write(what + "\\n")


@step
async def book(what: str) -> str:
    note("book " + what)
    return what


@step
async def unbook(_: object, what: str) -> None:
    note("unbook " + what)
    while what == "card" and not (HERE / "mended").exists():
        await asyncio.sleep(0.05)


@workflow
async def order() -> str:
    async with saga() as s:
        await s.do(book, "card", undo=unbook)
        await s.do(book, "hotel", undo=unbook)
        await receive("go")
        return await book("ship")
"""
HEADERS = {"apikey": SECRET, "idempotency-key": "1", "prefer": "respond-async"}


@pytest.mark.postgres
def test_what_was_undone_is_booked_again(tmp_path: Path, database: str) -> None:
    functions = tmp_path / "functions"
    functions.mkdir()
    (functions / "order.py").write_text(FUNCTION.format(here=str(tmp_path)))
    hosts = Hosts(tmp_path, functions, database)
    host = hosts.start()
    workflow = f"{host.url}/workflows/v1/order:1"

    def post(path: str, **body: Any) -> Any:
        return ask("POST", f"{workflow}/{path}", json=body, headers=HEADERS, timeout=LIMIT_S)

    def shown(query: str = "") -> Any:
        return ask("GET", workflow + query, headers=HEADERS, timeout=LIMIT_S).json()

    def trail() -> list[str]:
        return (tmp_path / "trail").read_text().splitlines()

    try:
        ask("POST", f"{host.url}/functions/v1/order", json={}, headers=HEADERS, timeout=LIMIT_S)
        until(lambda: "a message (go)" in (shown()["waiting_on"] or ""), "its wait")
        assert post("cancel").status_code == 202
        until(lambda: trail()[-1] == "unbook card", "the undo that hangs")
        until(lambda: shown()["waiting_on"] == "undoing: 1 of 2", "what it tells of")
        assert post("cancel", mode="kill").json()["status"] == "CANCELLED"
        (tmp_path / "mended").touch()
        assert len(post("retry").json()["dropped"]) > 3
        until(lambda: trail()[4:] == ["book card", "book hotel"], "both again")
        assert post("messages/go").status_code < 300
        assert shown("?wait=20")["status"] == "SUCCESS"
        assert trail()[4:] == ["book card", "book hotel", "book ship"]
    finally:
        hosts.close()
