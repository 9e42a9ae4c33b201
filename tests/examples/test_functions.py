"""The examples in functions/ do what they say, at a real host."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.hosts import SECRET, Host, Hosts, until

ROOT = Path(__file__).parents[2]
PUBLIC = "https://shop.example"
APIKEY = {"apikey": SECRET}
EXAMPLES = sorted((ROOT / "functions").glob("*.py"))


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    """A host with this repository's functions and tables, on an embedded database."""
    folder = tmp_path_factory.mktemp("examples")
    shutil.copytree(ROOT / "supabase", folder / "supabase")
    hosts = Hosts(folder, ROOT / "functions")
    yield hosts.start(public_url=PUBLIC)
    hosts.close()


def steps(host: Host, workflow_id: str) -> list[dict[str, Any]]:
    """What is recorded of a workflow; nothing, where there is none yet."""
    answer = host.manage("GET", f"{workflow_id.replace('/', '%2F')}/steps").json()
    listed: list[dict[str, Any]] = answer.get("steps", [])
    return listed


def test_there_are_few_and_they_are_short() -> None:
    assert len(EXAMPLES) <= 6
    long = {each.name for each in EXAMPLES if len(each.read_text().splitlines()) > 60}
    assert long == {"checkout.py", "_checkout_test.py"}  # the widget store of the README, and its test


def test_a_truckload_is_shelved_by_a_workflow_for_each_delivery(host: Host) -> None:
    assert host.post("report/unload", "truck", {}).json() == {"shelved": 50}
    told = host.manage("GET", "report%2Funload:truck/events?event=map.1").json()["events"]
    assert told[-1]["value"] == {"total": 50, "started": 50, "ok": 50, "failed": 0}
    assert host.post("report/unload", "truck-2", {}).json() == {"shelved": 0}


def test_a_report_counts_yesterdays_sales(host: Host) -> None:
    assert host.post("report", "today", {}).json() == {"widget": 0}
    shown = httpx.get(f"{host.url}/schedules/v1/report", headers=APIKEY).json()
    assert (shown["cron"], shown["tz"]) == ("0 3 * * *", "Europe/Berlin")


def test_a_trip_is_booked_whole_or_taken_back(host: Host) -> None:
    assert host.post("trip", "short", {"to": "Rome"}).json() == ["trip:short/hotel", "trip:short/flight"]
    refused = host.post("trip", "long", {"nights": 20, "car": True})
    assert (refused.status_code, refused.json()["detail"]) == (409, "there is no car for so long")
    outputs = [each["output"] for each in steps(host, "trip:long") if each["name"] == "cancel"]
    assert outputs == [f"cancelled trip:long/{each}" for each in ("car", "flight", "hotel")]


def test_an_agent_streams_its_words_and_asks_a_person(host: Host) -> None:
    headers = {**APIKEY, "idempotency-key": "refund", "prefer": "respond-async"}
    question = {"question": "refund my order"}
    assert httpx.post(f"{host.url}/functions/v1/agent", json=question, headers=headers).status_code == 202
    approval = "agent:refund/2"
    until(lambda: any(each["name"] == "mail" for each in steps(host, approval)), "the mail")
    (link,) = [each["output"]["url"] for each in steps(host, approval) if each["name"].startswith("callback")]
    assert link.startswith(PUBLIC)
    link = link.replace(PUBLIC, host.url)
    page = httpx.get(link)
    assert (page.status_code, "<script" in page.text) == (200, False)
    assert httpx.post(link, json="maybe").status_code == 422
    assert httpx.post(link, json="approve").json() == {"sent": True}
    answer = host.post("agent", "refund", question).json()
    assert answer == "The refund was paid 42.00: refund my order"


def test_its_words_are_seen_as_they_come(host: Host) -> None:
    url = f"{host.url}/functions/v1/agent"
    headers = {**APIKEY, "accept": "text/event-stream", "idempotency-key": "words"}
    with httpx.stream("POST", url, json={"question": "is it there"}, headers=headers, timeout=30) as answer:
        lines = [each.removeprefix("data: ") for each in answer.iter_lines() if each.startswith("data: ")]
    words = [json.loads(each).get("value") for each in lines]
    assert [each for each in words if each is not None] == ["All", "is", "well:", "is", "it", "there"]
