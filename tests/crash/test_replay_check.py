"""OUTLAST_REPLAY_CHECK: a host that starts sees whether its code fits what is open, and says or refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.crash.test_rolling import RIGHT, WRONG
from tests.hosts import SECRET, Hosts, ask, until

pytestmark = [pytest.mark.slow, pytest.mark.postgres]
SETTINGS: dict[str, Any] = {"moment_s": 0.05, "lease_ttl_s": 3}


def hosts_of(tmp_path: Path, name: str, code: str, database: str) -> Hosts:
    (tmp_path / name).mkdir()
    (tmp_path / name / "order.py").write_text(code)
    return Hosts(tmp_path, tmp_path / name, database)


@pytest.fixture
def folders(database: str, tmp_path: Path) -> Any:
    found = [hosts_of(tmp_path, name, code, database) for name, code in (("right", RIGHT), ("wrong", WRONG))]
    yield found
    for each in found:
        each.close()


def open_one(right: Hosts) -> None:
    host = right.start(**SETTINGS)
    headers = {"apikey": SECRET, "idempotency-key": "a", "prefer": "respond-async"}
    answer = ask("POST", f"{host.url}/functions/v1/order", json={"number": 1}, headers=headers)
    assert answer.status_code == 202, answer.text
    path = f"{host.url}/workflows/v1/order:a/steps"
    until(lambda: "charge" in ask("GET", path, headers={"apikey": SECRET}).text)
    host.signal(15)
    host.ended(60)


def test_wrong_code_is_told_of_or_not_served(folders: list[Hosts]) -> None:
    right, wrong = folders
    empty = right.start(**SETTINGS, replay_check="block")  # where nothing is open, nothing is wrong
    assert "replay check: 0 open workflows fit this code" in empty.said()
    empty.signal(15)
    empty.ended(60)
    open_one(right)
    for workers in (0, 2):
        refused = wrong.launch(**SETTINGS, replay_check="block", workers=workers)
        assert refused.ended(60) == 1
        said = refused.said()
        assert "1 of 1 open workflows don't fit this code (order): mend it" in said
        assert "1 open workflows of order don't fit this code; order:a:" in said
        assert "recorded: step charge" in said
        assert 'if patched("use-ship")' in said
    warned = wrong.start(**SETTINGS, replay_check="warn", workers=2)
    until(lambda: "don't fit this code; order:a:" in warned.said())
    assert warned.said().count("don't fit this code") == 1
    assert ask("GET", f"{warned.url}/readyz").status_code == 200
    warned.signal(15)
    warned.ended(60)
    served = right.start(**SETTINGS, replay_check="block")
    assert "replay check: 1 open workflows fit this code" in served.said()


def test_a_reload_is_checked_too(folders: list[Hosts], tmp_path: Path) -> None:
    right, _ = folders
    open_one(right)
    host = right.start("--reload", **SETTINGS, replay_check="warn")
    until(lambda: "replay check: 1 open workflows fit this code" in host.said())
    (tmp_path / "right" / "order.py").write_text(WRONG)
    until(lambda: "don't fit this code; order:a:" in host.said())
    assert ask("GET", f"{host.url}/readyz").status_code == 200
