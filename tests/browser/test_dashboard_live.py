"""Pages that bring themselves up to date: what the reader has begun stays, and a lost host is told of.

Timers of the page run by a clock that the tests turn, so that nothing here waits for two seconds to pass.
"""

from __future__ import annotations

import pytest

from outlast.web.dashboard.views import DASHBOARD
from tests.browser.looking import Look
from tests.browser.shop import Shop
from tests.hosts import SECRET

OPEN = """async (look, { url }) => {
  await look.page.clock.install()
  look.asked = 0
  look.page.on('request', (request) => {
    if (request.url() === url && !request.isNavigationRequest()) look.asked += 1
  })
  await look.page.goto(url, { waitUntil: 'load' })
}"""
"""Opens a page whose clock is turned by `clock.runFor`, and counts how often it asks for itself."""

UNTIL = """async ({ page }, { text }) => {
  for (let tries = 0; tries < 100; tries += 1) {
    if (await page.getByText(text).count()) return true
    await page.clock.runFor(2000)
    await new Promise((done) => setTimeout(done, 20))
  }
  return page.locator('main').innerText()
}"""
"""Lets the page's time go on until a text stands there."""

HIDE = """async (look, { hidden }) => {
  await look.page.evaluate((hidden) => {
    Object.defineProperty(document, 'hidden', { value: hidden, configurable: true })
    document.dispatchEvent(new Event('visibilitychange'))
  }, hidden)
}"""
"""What a browser does to a tab that comes to the front or leaves it: headless, all are in front."""


@pytest.fixture
def opened(look: Look, empty_shop: Shop) -> Look:
    """A browser that is signed in."""
    look.fresh(viewport={"width": 1280, "height": 900})
    look.sign_in(empty_shop.url, SECRET)
    return look


def test_a_hidden_page_asks_nothing_and_asks_when_it_is_seen_again(opened: Look, empty_shop: Shop) -> None:
    url = f"{empty_shop.url}{DASHBOARD}"
    opened.run(OPEN, url=url)
    opened.run(HIDE, hidden=True)
    asked = opened.run("async (look) => { await look.page.clock.runFor(120_000); return look.asked }")
    assert asked == 0
    empty_shop.call("many/steps", "seen-again", {"count": 1})
    opened.run(HIDE, hidden=False)
    opened.run("async ({ page }) => page.getByText('seen-again').first().waitFor()")
    assert opened.complaints() == []


@pytest.mark.slow
def test_live_can_be_switched_off(opened: Look, empty_shop: Shop) -> None:
    opened.run(OPEN, url=f"{empty_shop.url}{DASHBOARD}")
    asked = opened.run(
        """async (look) => {
          const live = look.page.getByRole('button', { name: 'Live' })
          await live.click()
          await look.page.clock.runFor(60_000)
          return [look.asked, await live.getAttribute('aria-pressed')]
        }"""
    )
    assert asked == [0, "false"]


def test_focus_marked_text_and_what_is_typed_stay(opened: Look, empty_shop: Shop) -> None:
    """The row that has the focus moves down as newer ones come, and keeps it: Enter opens what was meant."""
    first = empty_shop.call("many/steps", "stays-1", {"count": 1})
    opened.run(OPEN, url=f"{empty_shop.url}{DASHBOARD}?function=many%2Fsteps")
    opened.run(
        """async ({ page }, { first }) => {
          await page.getByLabel('Id begins with').fill('half typed')
          const link = page.getByRole('link', { name: first })
          await link.focus()
          await link.evaluate((each) => getSelection().selectAllChildren(each))
        }""",
        first=first,
    )
    for number in (2, 3, 4):
        empty_shop.call("many/steps", f"stays-{number}", {"count": 1})
    assert opened.run(UNTIL, text="stays-4") is True
    seen = opened.run(
        """async ({ page }) => page.evaluate(() => ({
          rows: [...document.querySelectorAll('#runs tbody th')].map((each) => each.textContent.trim()),
          focus: document.activeElement.textContent.trim(),
          marked: String(getSelection()).trim(),
          typed: document.querySelector('[name=prefix]').value,
        }))"""
    )
    assert len(seen["rows"]) == len(set(seen["rows"]))
    assert seen["rows"].index("many/steps:stays-4") < seen["rows"].index(first)
    assert (seen["focus"], seen["marked"], seen["typed"]) == (first, first, "half typed")
    assert opened.complaints() == []


def test_chosen_rows_rest_until_they_are_let_go(opened: Look, empty_shop: Shop) -> None:
    """Nothing moves under who chooses; then the page catches up, though nothing has changed since."""
    chosen = empty_shop.call("many/steps", "chosen-1", {"count": 1})
    opened.run(OPEN, url=f"{empty_shop.url}{DASHBOARD}?prefix=many%2Fsteps:chosen")
    opened.run("async ({ page }, { chosen }) => page.getByLabel(`Choose ${chosen}`).check()", chosen=chosen)
    last = empty_shop.call("many/steps", "chosen-2", {"count": 1})
    empty_shop.until(last, lambda each: each["status"] == "SUCCESS")
    rows = opened.run(
        """async (look) => {
          const asked = look.asked
          while (look.asked < asked + 2) {
            const answer = look.page.waitForResponse((each) => each.url().includes('prefix='))
            await look.page.clock.runFor(2000)
            await (await answer).finished()
          }
          return look.page.locator('#runs tbody tr').count()
        }"""
    )
    assert rows == 1
    opened.run("async ({ page }, { chosen }) => page.getByLabel(`Choose ${chosen}`).uncheck()", chosen=chosen)
    assert opened.run(UNTIL, text="chosen-2") is True


def test_open_details_stay_open(opened: Look, empty_shop: Shop) -> None:
    """Another instance comes: the list changes, and what was unfolded stays so."""
    opened.run(OPEN, url=f"{empty_shop.url}{DASHBOARD}/instances")
    opened.run("async ({ page }) => page.locator('#instances details summary').first().click()")
    empty_shop.query(
        "insert into outlast.instances (instance_id, host, started_at, lease_until)"
        " values ('0-the-first', 'elsewhere', now(), now() + interval '1 h')"
    )
    try:
        assert opened.run(UNTIL, text="0-the-first") is True
        assert opened.run("async ({ page }) => page.locator('#instances details[open]').count()") == 1
        assert opened.complaints() == []
    finally:
        empty_shop.query("delete from outlast.instances where instance_id = '0-the-first'")


@pytest.mark.slow
def test_a_host_that_restarts_is_told_of_and_survived(opened: Look, empty_shop: Shop) -> None:
    opened.run(OPEN, url=f"{empty_shop.url}{DASHBOARD}")
    empty_shop.host.close()
    try:
        assert opened.run(UNTIL, text="The host doesn't answer") is True
    finally:
        empty_shop.restart()
    empty_shop.call("many/steps", "after-the-restart", {"count": 1})
    assert opened.run(UNTIL, text="after-the-restart") is True
    assert opened.run("async ({ page }) => page.locator('#away').textContent()") == ""
    opened.complaints()  # of the requests that failed


@pytest.mark.slow
def test_what_is_gone_is_said_to_be(opened: Look, empty_shop: Shop) -> None:
    waiting = empty_shop.call("shop/refund", "gone-1", {"order": "A-1", "cents": 1})
    opened.run(OPEN, url=f"{empty_shop.url}{DASHBOARD}/workflows/{waiting.replace('/', '%2F')}")
    empty_shop.query("delete from outlast.workflow_status where workflow_id = %s", waiting)
    assert opened.run(UNTIL, text="This isn't there any more") is True
    opened.complaints()


@pytest.mark.slow
def test_times_are_utc_until_the_reader_wants_their_own(look: Look, empty_shop: Shop) -> None:
    """By one button, kept for all pages; under the pointer both stand. What comes later is written alike."""
    empty_shop.call("many/steps", "times-1", {"count": 1})
    look.fresh(timezoneId="Asia/Kolkata", viewport={"width": 1280, "height": 900})
    look.sign_in(empty_shop.url, SECRET)
    look.run(OPEN, url=f"{empty_shop.url}{DASHBOARD}?prefix=many%2Fsteps:times")
    seen = """async ({ page }) => page.evaluate(() => {
      const { textContent, title, dateTime } = document.querySelector('#runs tbody time')
      const head = document.querySelector('#runs thead [data-zone]').textContent
      const [hours, minutes] = textContent.match(/(\\d\\d):(\\d\\d):/).slice(1).map(Number)
      const utc = new Date(dateTime)
      return { head, lines: title.split('\\n').length, both: / UTC\\n.* GMT\\+5:30$/.test(title),
        ahead: ((hours - utc.getUTCHours()) * 60 + minutes - utc.getUTCMinutes() + 1440) % 1440 }
    })"""
    assert look.run(seen) == {"head": "UTC", "lines": 2, "both": True, "ahead": 0}
    look.run("async ({ page }) => page.locator('[data-times-toggle]').click()")
    local = {"head": "GMT+5:30", "lines": 2, "both": True, "ahead": 330}
    assert look.run(seen) == local
    empty_shop.call("many/steps", "times-2", {"count": 1})
    assert look.run(UNTIL, text="times-2") is True
    assert look.run(seen) == local
    look.visit(f"{empty_shop.url}{DASHBOARD}?prefix=many%2Fsteps:times")
    assert look.run(seen) == local
    assert look.complaints() == []
