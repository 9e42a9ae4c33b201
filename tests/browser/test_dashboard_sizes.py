"""Each view with nothing, with one of everything and a hundred: on a telephone, without a complaint."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import psycopg
import pytest

from outlast.web.dashboard.views import DASHBOARD, VIEWS
from tests import dashboard_rows as rows
from tests.browser.looking import Look
from tests.browser.shop import Shop
from tests.databases import new_database
from tests.hosts import SECRET

GONE = "This can't be shown"
SIZES = (0, 1, 100)


class Page(NamedTuple):
    """A view, its address, and what stands there for each of SIZES."""

    view: str
    path: str
    words: tuple[str, str, str]


BULK = f"/bulks/{quote(rows.BULK, safe='')}"
PAGES = (
    Page("", "", ("Nothing has run yet", "5 rows", "100 rows, and more")),
    Page("/errors", "/errors", ("Nothing failed in that time", "1 row", "100 rows")),
    Page("/queues", "/queues", ("There are no queues yet", "1 row", "100 rows")),
    Page("/schedules", "/schedules", ("There are no schedules yet", "1 row", "100 rows")),
    Page("/functions", "/functions", ("", "f2", "100 rows, and more")),
    Page("/instances", "/instances", ("1 row", "2 rows", "100 rows, and more")),
    Page("/held", "/held", ("Nothing is held", "1 workflow", "100 rows")),
    Page("/acts", "/acts", ("Nobody has done anything yet", "1 row", "100 rows, and more")),
    Page("/bulks", "/bulks", ("Nothing was done to many yet", "1 row", "100 rows")),
    Page("/commands", "/commands", ("curl", "curl", "curl")),
    Page(
        "/bulk", "/bulk?verb=cancel&to=filter&f.status=ENQUEUED",
        ("0 runs pass", "1 run passes", "100 runs pass"),
    ),
    Page("/schedules/do/{verb}", "/schedules/do/create", ("Create this schedule",) * 3),
    Page("/workflows/{workflow_id}", "/workflows/w1", (GONE, "2 steps", "200 steps")),
    Page("/workflows/{workflow_id}/steps", "/workflows/w1/steps", (GONE, "2 steps", "200 steps")),
    Page("/workflows/{workflow_id}/commands", "/workflows/w1/commands", ("curl", "curl", "curl")),
    Page("/workflows/{workflow_id}/do/{verb}", "/workflows/w1/do/fork", ("Fork this workflow",) * 3),
    Page("/queues/{name}", "/queues/q1", (GONE, "Paused by the tests", "All runs in this queue")),
    Page("/queues/{name}/do/{verb}", "/queues/q1/do/set", ("Set this queue",) * 3),
    Page("/schedules/{name}", "/schedules/s1", (GONE, "an earlier one ran", "an earlier one ran")),
    Page("/schedules/{name}/do/{verb}", "/schedules/s1/do/trigger", ("Trigger this schedule",) * 3),
    Page("/functions/{function}", "/functions/f2", (GONE, "All its runs", "All its runs")),
    Page("/bulks/{bulk_id}", BULK, (GONE, "1 row", "100 rows")),
)  # fmt: skip
"""A new view is covered by a row."""
NO_PAGES = {"/workflows/{workflow_id}/value/{member}"}


def test_every_view_is_in_this_table() -> None:
    assert {each.path for each in VIEWS if each.method == "GET"} - NO_PAGES == {each.view for each in PAGES}


@pytest.fixture(params=range(len(SIZES)), ids=[str(each) for each in SIZES])
def sized(request: pytest.FixtureRequest, postgres: str, tmp_path: Path) -> Iterator[tuple[Shop, int]]:
    """A host without functions, over so many of everything; and which of SIZES that is."""
    with new_database(postgres) as url:
        if SIZES[request.param]:
            with psycopg.connect(url, autocommit=True) as connection:
                rows.fill(connection, SIZES[request.param])
        shop = Shop(tmp_path, url, sample=None)
        try:
            yield shop, request.param
        finally:
            shop.close()


@pytest.mark.slow
def test_each_view_with_so_many(look: Look, sized: tuple[Shop, int]) -> None:
    shop, place = sized
    look.fresh(viewport={"width": 360, "height": 740})
    look.sign_in(shop.url, SECRET)
    findings: dict[str, Any] = {}
    for page in PAGES:
        status = look.visit(f"{shop.url}{DASHBOARD}{page.path}")
        seen = look.run(
            """async ({ page }) => ({
              text: await page.locator('main').innerText(),
              wide: await page.evaluate(() => document.documentElement.scrollWidth - innerWidth),
            })"""
        )
        word = page.words[place]
        wanted = 404 if word == GONE else 200
        found = [each for each in look.complaints() if not (wanted == 404 and "status of 404" in each)]
        text = f"{seen['text']}\n{GONE if status == 404 else ''}"
        if status != wanted or not re.search(rf"\b{re.escape(word)}\b" if word else "", text):
            found.append(f"{status}, without {word!r}: {seen['text'][-300:]}")
        if seen["wide"] > 0:
            found.append(f"{seen['wide']} px too wide")
        if found:
            findings[page.path] = found
    assert findings == {}
