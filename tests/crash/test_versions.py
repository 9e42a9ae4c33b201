"""Versions and former names of functions over deploys: what is open stays what it is, the rest is new."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from tests.crash.deploys import Deploys
from tests.hosts import SECRET, Host, ask, until

CODE = """
import os
from outlast import receive, start, step, workflow

@step
async def charge() -> str:
    return "charged"

@step
async def ship() -> str:
    return "shipped"

@step
async def fail() -> str:
    if os.path.exists(os.environ["PROOF_FOLDER"] + "/mended"):
        return "mended"
    raise ValueError("not yet")
"""
FIRST = (
    CODE
    + """
@workflow(version=1)
async def order(number: int = 0) -> list[str]:
    return ["first", await charge(), await receive("go")]

@workflow(version=1)
async def flaky() -> list[str]:
    return ["first", await charge(), await fail()]
"""
)
SECOND = (
    CODE
    + """
@workflow(version=2)
async def order(number: int = 0) -> list[str]:
    return ["second", await ship(), await receive("go")]

@workflow(version=2)
async def flaky() -> list[str]:
    return ["second", await ship(), await fail()]
"""
)
RENAMED = (
    CODE
    + """
@workflow
async def {name}(number: int) -> list[str]:
    return [await charge(), await receive("go")]

@workflow
async def parent() -> str:
    handle = await start({name}, 7)
    return [await receive("go"), await handle.result()]
"""
)
pytestmark = [pytest.mark.slow, pytest.mark.postgres]


def call(host: Host, function: str, key: str | None, body: Any = None, prefer: str = "") -> Any:
    headers = {"apikey": SECRET, "prefer": prefer} | ({} if key is None else {"idempotency-key": key})
    url = f"{host.url}/functions/v1/{function}"
    return ask("POST", url, json=body or {}, headers=headers, timeout=30)


def begin(host: Host, function: str, key: str, body: Any = None) -> str:
    answer = call(host, function, key, body, prefer="respond-async")
    assert answer.status_code == 202, answer.text
    return str(answer.headers["workflow-id"])


def show(host: Host, workflow_id: str) -> dict[str, Any]:
    path = workflow_id.replace("/", "%2F")
    return dict(ask("GET", f"{host.url}/workflows/v1/{path}", headers={"apikey": SECRET}).json())


def output(host: Host, workflow_id: str) -> Any:
    path = f"{host.url}/workflows/v1/{workflow_id}?wait=20"

    def ended() -> dict[str, Any] | None:
        found = ask("GET", path, headers={"apikey": SECRET}, timeout=30).json()
        return found if found["status"] not in ("ENQUEUED", "PENDING") else None

    found = until(ended, workflow_id)
    assert found["status"] == "SUCCESS", found
    return found["output"]


def test_open_workflows_keep_their_version(deploys: Deploys) -> None:
    old = deploys.deploy({"order.py": FIRST})
    ids = [begin(old, "order", str(n), {"number": n}) for n in range(3)]
    start = "select outlast.start('order', '{}', %s, delay => %s::interval)"
    by_sql, later = deploys.sql(start, "sql", "0")[0][0], deploys.sql(start, "later", "1 hour")[0][0]
    failed = begin(old, "order/flaky", "f")
    until(lambda: show(old, failed)["status"] == "ERROR")
    deploys.until_waiting(4)
    assert [show(old, each)["version"] for each in (*ids, by_sql, later)] == ["1"] * 4 + [None]
    # Old and new at once: whoever claims what it can't run gives it to the other.
    new = deploys.deploy({"order.py": SECOND, "order_v1.py": FIRST})
    fresh = begin(new, "order", "fresh", {"number": 5})
    sql_too = deploys.sql(start, "sql too", "0")[0][0]
    deploys.until_waiting(6)
    deploys.send(ids[0])
    assert output(new, ids[0]) == ["first", "charged", "go"]
    old.signal(15)
    old.ended(60)
    deploys.send(fresh)
    assert output(new, fresh) == ["second", "shipped", "go"]
    deploys.send(ids[1])
    assert output(new, ids[1]) == ["first", "charged", "go"]
    assert show(new, sql_too)["version"] in ("1", "2")  # of the one that began it
    listed = ask("GET", f"{new.url}/workflows/v1?version=1&limit=100", headers={"apikey": SECRET}).json()
    assert {ids[2], by_sql, failed} <= {each["workflow_id"] for each in listed["workflows"]}
    # A retry goes on as what it is, a fork from the start is new.
    (deploys.folder / "mended").touch()
    manage = {"headers": {"apikey": SECRET}, "timeout": 30}
    path = f"{new.url}/workflows/v1/{failed}"
    assert ask("POST", f"{path}/retry", json={}, **manage).status_code == 200
    assert output(new, failed) == ["first", "charged", "mended"]
    fork = ask("POST", f"{path}/fork", json={}, **manage).json()["fork"]
    assert output(new, fork) == ["second", "shipped", "mended"]
    kept = ask("POST", f"{path}/fork", json={"from": "fail"}, **manage).json()["fork"]
    assert output(new, kept) == ["first", "charged", "mended"]
    # Without its version one is held, and goes on once that is there again.
    new.signal(15)
    new.ended(60)
    lone = deploys.deploy({"order.py": SECOND})
    deploys.send(ids[2])
    held = until(lambda: show(lone, ids[2])["held"])
    assert held["reason"] == "function_missing"
    assert held["message"] == "version 1 of order is not served; its newest is version 2"
    assert "beside the newer ones" in held["remedy"]
    deploys.deploy({"order.py": SECOND, "before_v1.py": FIRST, "order_v1.py": FIRST})
    assert output(lone, ids[2]) == ["first", "charged", "go"]


def test_a_renamed_function(deploys: Deploys) -> None:
    old = deploys.deploy({"shop.py": RENAMED.format(name="order")})
    opened = begin(old, "shop/order", "open", {"number": 1})
    ended = begin(old, "shop/order", "ended", {"number": 2})
    parent = begin(old, "shop/parent", "parent")
    deploys.until_waiting(4)
    deploys.send(ended)
    assert output(old, ended) == ["charged", "go"]
    old.signal(15)
    old.ended(60)
    code = RENAMED.replace(
        "@workflow\nasync def {name}", '@workflow(aliases=["shop/order"])\nasync def {name}'
    )
    new = deploys.deploy({"shop.py": code.format(name="buy")})
    # Keys count under both names, and calls of both reach it.
    for name in ("shop/order", "shop/buy"):
        answer = call(new, name, "ended", {"number": 2})
        assert (answer.status_code, answer.json(), answer.headers["workflow-id"]) == (
            200,
            ["charged", "go"],
            ended,
        )
        answer = call(new, name, "ended", {"number": 3})
        assert (answer.status_code, answer.json()["code"]) == (422, "idempotency_key_reused")
    fresh = begin(new, "shop/order", "fresh", {"number": 4})
    assert show(new, fresh)["function"] == "shop/buy"
    assert begin(new, "shop/buy", "fresh", {"number": 4}) == fresh
    unkeyed = call(new, "shop/order", None, {"number": 5}, prefer="respond-async")
    assert unkeyed.headers["workflow-id"].startswith("shop/buy:")
    ((by_sql,),) = deploys.sql("select outlast.start('shop/order', '{\"number\": 6}', 'sql')")
    for each in (opened, fresh, by_sql):
        deploys.send(each)
        assert output(new, each) == ["charged", "go"]
    # A parent that had started it under its former name goes on, and finds its child.
    ((child,),) = deploys.sql("select workflow_id from outlast.workflow_status where parent = %s", parent)
    deploys.send(child)
    deploys.send(parent)
    assert output(new, parent) == ["go", ["charged", "go"]]
    shown = deploys.sql("select distinct status from outlast.workflow_status where held is not null")
    assert shown == []


PATCHED = (
    CODE
    + """
from outlast import patched

@workflow
async def order() -> list[str]:
    first = {first}
    await receive("go")
    if os.path.exists(os.environ["PROOF_FOLDER"] + "/fails"):
        raise ValueError("it fails")
    return [first]
"""
)


def test_patches_say_when_the_old_branch_may_go(deploys: Deploys) -> None:
    old = deploys.deploy({"order.py": PATCHED.format(first="await charge()")})
    ids = [begin(old, "order", f"old-{number}") for number in range(3)]
    deploys.until_waiting(3)
    old.signal(15)
    old.ended(60)
    code = PATCHED.format(first='await ship() if patched("use-ship") else await charge()')
    new = deploys.deploy({"order.py": code})

    def patches() -> list[dict[str, Any]]:
        answer = ask("GET", f"{new.url}/patches/v1", headers={"apikey": SECRET})
        assert answer.status_code == 200, answer.text
        return list(answer.json()["patches"])

    def counts() -> tuple[Any, ...]:
        names = ("took_new", "took_old", "not_asked", "failed_old", "safe", "advice")
        (row,) = patches()
        assert (row["name"], row["functions"]) == ("use-ship", ["order"])
        return tuple(row[each] for each in names)

    assert patches() == []
    fresh = begin(new, "order", "fresh")
    deploys.until_waiting(4)
    # Those that sleep since before the change haven't asked: they may have passed the place, and they have.
    assert counts()[:5] == (1, 0, 3, 0, False)
    assert counts()[5].startswith("3 open ones are older than it")
    deploys.send(ids[0])
    assert output(new, ids[0]) == ["charged"]
    assert counts()[:5] == (1, 0, 2, 0, False)
    deploys.sql("update outlast.workflow_status set claimable_at = now() where workflow_id = %s", ids[1])
    until(lambda: counts()[:5] == (1, 1, 1, 0, False))  # woken too early, it has asked, and waits on
    assert counts()[5].startswith("1 open ones took the old branch")
    deploys.send(ids[1])
    assert output(new, ids[1]) == ["charged"]
    (deploys.folder / "fails").touch()
    deploys.send(ids[2])
    until(lambda: show(new, ids[2])["status"] == "ERROR")
    told = "safe to delete; 1 failed ones took the old branch, or may: retry them before, or not at all"
    assert counts() == (1, 0, 0, 1, True, told)
    assert ask("GET", f"{new.url}/patches/v1?safe=false", headers={"apikey": SECRET}).json()["patches"] == []
    assert ask("GET", f"{new.url}/patches/v1").status_code == 401
    command = [sys.executable, "-m", "outlast", "patches", "--url", new.url]

    def said(*options: str) -> str:
        env = {**os.environ, "SUPABASE_SECRET_KEY": SECRET}
        return subprocess.run(
            [*command, *options], capture_output=True, text=True, timeout=60, check=True, env=env
        ).stdout

    assert told in said()
    assert json.loads(said("--json"))["patches"] == patches()
    ask("DELETE", f"{new.url}/workflows/v1/{ids[2]}", headers={"apikey": SECRET})
    (deploys.folder / "fails").unlink()
    deploys.send(fresh)
    assert output(new, fresh) == ["shipped"]


def test_forks_and_failed_ones_may_have_passed_a_change_as_well(deploys: Deploys) -> None:
    old = deploys.deploy({"order.py": PATCHED.format(first="await charge()")})
    ids = [begin(old, "order", f"old-{number}") for number in range(2)]
    deploys.until_waiting(2)
    (deploys.folder / "fails").touch()
    for each in ids:
        deploys.send(each)
        until(lambda: show(old, each)["status"] == "ERROR")  # noqa: B023
    old.signal(15)
    old.ended(60)
    (deploys.folder / "fails").unlink()
    earlier = "created_at = created_at - interval '3 hours', started_at = started_at - interval '3 hours'"
    deploys.sql(f"update outlast.workflow_status set {earlier}")
    code = PATCHED.format(first='await ship() if patched("use-ship") else await charge()')
    new = deploys.deploy({"order.py": code})
    _ = begin(new, "order", "fresh")
    deploys.until_waiting(1)
    answered = "update outlast.operation_outputs set completed_at = completed_at - interval '2 hours'"
    deploys.sql(answered + " where kind = 'patch'")

    def counts() -> tuple[Any, ...]:
        answer = ask("GET", f"{new.url}/patches/v1", headers={"apikey": SECRET})
        (row,) = answer.json()["patches"]
        return tuple(row[each] for each in ("took_new", "took_old", "not_asked", "failed_old", "safe"))

    assert counts() == (1, 0, 0, 2, True)
    pause = "select f.fork, outlast.pause_workflow(f.fork) from outlast.fork_workflow(%s, 'failed') as f"
    ((fork, _),) = deploys.sql(pause, ids[0])
    assert counts() == (1, 0, 1, 2, False)
    deploys.sql("select outlast.resume_workflow(%s)", fork)
    assert output(new, fork) == ["charged"]
    assert counts() == (1, 0, 0, 2, True)
