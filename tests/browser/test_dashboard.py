"""Every view of the dashboard in a real browser, as a table: what holds of one holds of all."""

from __future__ import annotations

import re
from typing import Any, NamedTuple
from urllib.parse import quote

import pytest

from outlast.web.dashboard.views import DASHBOARD, VIEWS
from tests.browser.looking import Look
from tests.browser.shop import VIEWER, Shop
from tests.hosts import SECRET, until


class Page(NamedTuple):
    """A page: the view of the table, its address, and a word that stands on it where the shop is filled."""

    view: str
    path: str
    word: str
    of_one: bool = False
    """Whether it isn't there where there is nothing."""


ORDER = "shop:A-1041"
DECLINED = "shop:A-1047"
PAGES = (
    Page("", "", "A-1064"),
    Page("/errors", "/errors", "CardDeclined"),
    Page("/bulk", "/bulk?verb=cancel&to=filter&f.function=shop", "shop"),
    Page("/commands", "/commands?status=ERROR", "outlast workflows list --status ERROR"),
    Page("/queues", "/queues", "mail"),
    Page("/schedules", "/schedules", "0 3 * * *"),
    Page("/functions", "/functions", "shop/refund"),
    Page("/instances", "/instances", "Alive"),
    Page("/held", "/held", "functions/shop.py:69"),
    Page("/acts", "/acts", "the provider has a bad day"),
    Page("/bulks", "/bulks", "so that they are found"),
    Page("/workflows/{workflow_id}", f"/workflows/{quote(ORDER, safe='')}", "reserve", of_one=True),
    Page("/workflows/{workflow_id}", f"/workflows/{quote(DECLINED, safe='')}", "CardDeclined", of_one=True),
    Page(
        "/workflows/{workflow_id}/steps", f"/workflows/{quote(ORDER, safe='')}/steps", "reserve", of_one=True
    ),
    Page(
        "/workflows/{workflow_id}/commands",
        f"/workflows/{quote(ORDER, safe='')}/commands",
        "curl",
        of_one=True,
    ),
    Page(
        "/workflows/{workflow_id}/do/{verb}",
        f"/workflows/{quote(ORDER, safe='')}/do/fork",
        "Fork",
        of_one=True,
    ),
    Page("/queues/{name}/do/{verb}", "/queues/mail/do/set", "Set", of_one=True),
    Page("/schedules/{name}/do/{verb}", "/schedules/shop.report/do/trigger", "Trigger", of_one=True),
    Page("/schedules/do/{verb}", "/schedules/do/create", "cron"),
    Page("/queues/{name}", "/queues/mail", "news go out today", of_one=True),
    Page("/schedules/{name}", "/schedules/shop.report", "Europe/Berlin", of_one=True),
    Page("/functions/{function}", "/functions/shop", "Idempotency key", of_one=True),
    Page("/bulks/{bulk_id}", "/bulks/BULK", "season", of_one=True),
)
"""A new view is covered by a row."""

NO_PAGES = {"/workflows/{workflow_id}/value/{member}"}
"""Views that aren't pages: plain text."""

LOOKS = ((360, "light"), (1280, "light"), (1280, "dark"), (2560, "dark"))


def address(shop: Shop, page: Page) -> str:
    bulk = shop.do("GET", "/bulks/v1")["bulks"]
    found = quote(bulk[0]["bulk_id"], safe="") if bulk else "none"
    return f"{shop.url}{DASHBOARD}{page.path.replace('BULK', found)}"


def test_every_view_is_in_this_table() -> None:
    views = {re.sub(r"\{member\}", "{member}", each.path) for each in VIEWS if each.method == "GET"}
    assert views - NO_PAGES == {each.view for each in PAGES}


@pytest.mark.slow
@pytest.mark.parametrize(("width", "scheme"), LOOKS)
def test_no_page_complains_and_axe_finds_nothing(look: Look, shop: Shop, width: int, scheme: str) -> None:
    """Nothing of the policy, of the console and of axe-core; and no page is wider than its window."""
    look.fresh(viewport={"width": width, "height": 900}, colorScheme=scheme)
    look.sign_in(shop.url, SECRET)
    findings: dict[str, Any] = {}
    for page in PAGES:
        status = look.visit(address(shop, page))
        seen = look.run(
            """async ({ page }) => ({
              text: await page.locator('body').innerText(),
              wide: await page.evaluate(() => document.documentElement.scrollWidth - innerWidth),
              csp: await page.evaluate(
                () => document.querySelectorAll('[style], style, script:not([src])').length),
            })"""
        )
        found = [*look.complaints(), *look.axe()]
        if status != 200 or page.word not in seen["text"]:
            found.append(f"{status}, without {page.word!r}: {seen['text'][:300]}")
        if seen["wide"] > 0 or seen["csp"]:
            found.append(f"{seen['wide']} px too wide, {seen['csp']} inline")
        if found:
            findings[page.path] = found
    assert findings == {}


@pytest.mark.slow
def test_each_page_is_readable_without_scripts(look: Look, shop: Shop) -> None:
    look.fresh(javaScriptEnabled=False, viewport={"width": 1280, "height": 900})
    look.sign_in(shop.url, SECRET)
    missing = {}
    for page in PAGES:
        status = look.visit(address(shop, page))
        text = look.run("async ({ page }) => page.locator('body').innerText()")
        if status != 200 or page.word not in text:
            missing[page.path] = (status, text[:300])
    assert missing == {}
    assert look.complaints() == []


@pytest.mark.slow
def test_a_viewer_sees_each_page_without_a_value(look: Look, shop: Shop) -> None:
    look.fresh()
    look.sign_in(shop.url, VIEWER)
    told: dict[str, list[str]] = {}
    for page in PAGES:
        status = look.visit(address(shop, page))
        text = look.run("async ({ page }) => page.content()")
        # What orders hold: values of inputs, outputs, attributes, errors' texts, events and logs.
        for value in ("shelf 7", "ada@example.com", "was declined for", "ch_a-", "reserved stock", "winter"):
            if value in text:
                told.setdefault(page.path, []).append(value)
        assert status in (200, 403), page.path
    assert told == {}


def test_what_happens_is_seen_live(look: Look, shop: Shop) -> None:
    look.fresh()
    look.sign_in(shop.url, SECRET)
    look.visit(f"{shop.url}{DASHBOARD}?function=many%2Fsteps")
    shop.call("many/steps", "live-1", {"count": 3})
    look.run("async ({ page }) => page.getByText('live-1').first().waitFor()")


def test_a_function_is_called_once_by_its_form(look: Look, shop: Shop) -> None:
    look.fresh()
    look.sign_in(shop.url, SECRET)
    look.visit(f"{shop.url}{DASHBOARD}/functions/shop%2Fmail")
    ended = look.run(
        """async ({ page }) => {
          await page.getByLabel('To').fill('from the form')
          await page.getByLabel('Idempotency key').fill('form-1')
          await page.getByRole('button', { name: 'Call shop/mail' }).click()
          await page.waitForURL(/workflows/)
          return page.locator('h1').innerText()
        }"""
    )
    assert "form-1" in ended
    assert shop.do("GET", "/workflows/v1/shop%2Fmail:form-1")["input"] == {"to": "from the form"}


def test_hostile_values_are_text(look: Look, shop: Shop) -> None:
    """Scripts, directions, controls, four megabytes: shown, and nothing of it runs."""
    workflow_id = shop.call("many/hostile", "h-1", {"text": "<b>&amp;</b>", "size": 4_000_000})
    failed = shop.call("many/failing", "h-2", {"text": "</pre><script>window.pwned = 1</script>\u202e"})
    for each in (workflow_id, failed):
        shop.until(each, lambda found: found["status"] in ("SUCCESS", "ERROR"))
    look.fresh()
    look.sign_in(shop.url, SECRET)
    sizes = []
    for path in (
        f"/workflows/{quote(workflow_id, safe='')}",
        f"/workflows/{quote(failed, safe='')}",
        "",
        "/errors",
    ):
        assert look.visit(f"{shop.url}{DASHBOARD}{path}") == 200
        seen = look.run(
            """async ({ page }) => ({
              pwned: await page.evaluate(() => globalThis.pwned ?? null),
              size: (await page.content()).length,
              marked: await page.evaluate(
                () => document.querySelectorAll('main script, main img, main b').length),
              raw: /[\\u202e\\u2066\\u0001\\u001b]/.test(await page.content()),
            })"""
        )
        assert (seen["pwned"], seen["marked"], seen["raw"]) == (None, 0, False), path
        sizes.append(seen["size"])
    assert max(sizes) < 400_000
    assert look.complaints() == []


@pytest.mark.slow
def test_a_run_of_40_000_steps_scrolls_at_once(look: Look, shop: Shop) -> None:
    workflow_id = shop.call("many/steps", "S-40000", {"count": 40_000})
    until(lambda: shop.do("GET", f"/workflows/v1/{workflow_id}")["status"] == "SUCCESS", "40,000 steps", 120)
    look.fresh(viewport={"width": 1280, "height": 900})
    look.sign_in(shop.url, SECRET)
    assert look.visit(f"{shop.url}{DASHBOARD}/workflows/{quote(workflow_id, safe='')}") == 200
    nodes = look.run("async ({ page }) => page.evaluate(() => document.querySelectorAll('*').length)")
    assert nodes < 20_000
    assert look.complaints() == []


def test_another_sites_page_does_nothing(look: Look, shop: Shop) -> None:
    """A form of a page of another origin, sent by a browser that is signed in."""
    look.fresh()
    look.sign_in(shop.url, SECRET)
    other = shop.url.replace("127.0.0.1", "localhost")
    seen = look.run(
        """async ({ page, context }, { other, target }) => {
          await context.route(other + '/attack', (route) => route.fulfill({
            contentType: 'text/html',
            body: `<form method=post action="${target}"><button>Go</button></form>`,
          }))
          await page.goto(other + '/attack')
          await page.getByRole('button').click()
          await page.waitForURL(target)
          return page.locator('body').innerText()
        }""",
        other=other,
        target=f"{shop.url}{DASHBOARD}/queues/mail/do/drain",
    )
    assert "sign in" in seen.lower() or "can't be done" in seen.lower()
    assert shop.do("GET", "/acts/v1?verb=drain")["acts"] == []
    look.complaints()
