"""Every verb that the dashboard offers, by keys alone: found by Tab, opened and confirmed by Enter."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any, NamedTuple
from urllib.parse import quote

import pytest

from outlast.core.clock import machine_now
from outlast.core.verbs import BULK, SEND, VERBS
from outlast.web.dashboard.views import DASHBOARD
from tests.browser.looking import Look
from tests.browser.shop import Shop
from tests.hosts import SECRET, until
from tests.http.harness import fresh_key

GO = """async ({ page }, { name }) => {
  for (let steps = 0; steps < 150; steps += 1) {
    await page.keyboard.press('Tab')
    const found = await page.evaluate((name) => {
      const focus = document.activeElement
      const visible = focus.matches(':focus-visible') && focus.checkVisibility()
      return focus.textContent.trim() === name && visible
    }, name)
    if (found) return steps
  }
  throw new Error(`no Tab leads to ${name}`)
}"""
"""Goes on by Tab to what bears a word."""

CONFIRM = """async ({ page }, { fields, danger }) => {
  await page.keyboard.press('Enter')
  await page.locator('dialog[open] form[method=post]').waitFor()
  const left = { ...fields }
  for (let steps = 0; steps < 60; steps += 1) {
    if (steps) await page.keyboard.press('Tab')
    const focus = await page.evaluate(() => {
      const focus = document.activeElement
      const inside = focus.closest('dialog[open]') !== null
      return { name: focus.name, inside, sends: focus.matches('form[method=post] button') }
    })
    if (!focus.inside) continue // the browser's own part
    if (focus.sends) {
      if (Object.keys(left).length) throw new Error(`no Tab leads to ${Object.keys(left)}`)
      const marked = await page.evaluate(() => document.activeElement.classList.contains('danger'))
      if (marked !== danger) throw new Error(`danger is ${marked}`)
      await Promise.all([page.waitForEvent('framenavigated'), page.keyboard.press('Enter')])
      await page.waitForLoadState('load')
      return page.locator('main').innerText()
    }
    if (focus.name in left) {
      await page.keyboard.type(left[focus.name])
      delete left[focus.name]
    }
  }
  throw new Error('no Tab leads to the button')
}"""
"""Fills in the dialog and sends it; the page that comes then."""


class Done(NamedTuple):
    """A verb: what makes the thing that it is done to (its key), what is typed, and what is so afterwards."""

    noun: str
    verb: str
    make: Callable[[Shop], str]
    done: Callable[[Shop, str], bool]
    fields: dict[str, str] = {}  # noqa: RUF012 - nobody changes it
    word: str = ""
    """Of the button that leads to it; that of the verb without."""
    danger: bool = False
    page: str = ""
    """Where that stands, if not on the page of the thing."""


def waiting(shop: Shop) -> str:
    """A refund that waits to be approved."""
    workflow_id = shop.call("shop/refund", fresh_key(), {"order": "A-1", "cents": 1})
    shop.until(workflow_id.replace("/", "%2F"), lambda each: each["claimable_at"] is not None)
    return workflow_id


def paused(shop: Shop) -> str:
    workflow_id = waiting(shop)
    shop.do("POST", f"/workflows/v1/{quote(workflow_id, safe='')}/pause", {})
    return workflow_id


def declined(shop: Shop) -> str:
    """An order whose second step failed."""
    order = {"order": "A-1", "customer": "ada", "cents": 99_000, "express": True}
    workflow_id = shop.call("shop", fresh_key(), order)
    shop.until(workflow_id, lambda each: each["status"] == "ERROR")
    return workflow_id


def ended(shop: Shop) -> str:
    workflow_id = shop.call("many/steps", fresh_key(), {"count": 1})
    shop.until(workflow_id.replace("/", "%2F"), lambda each: each["status"] == "SUCCESS")
    return workflow_id


def queue(shop: Shop) -> str:
    return "mail"


def paused_queue(shop: Shop) -> str:
    shop.do("POST", "/queues/v1/mail/pause", {})
    return "mail"


def declared(shop: Shop) -> str:
    return "shop.report"


def paused_schedule(shop: Shop) -> str:
    shop.do("POST", "/schedules/v1/shop.report/pause", {})
    return "shop.report"


def made(shop: Shop) -> str:
    shop.do("POST", "/schedules/v1", {"name": "weekly", "function": "shop/report", "cron": "0 3 * * 1"})
    return "weekly"


def run(shop: Shop, key: str) -> Any:
    return shop.do("GET", f"/workflows/v1/{quote(key, safe='')}")


def acted(shop: Shop, noun: str, key: str, verb: str) -> bool:
    acts = shop.do("GET", f"/acts/v1?{noun}={quote(key, safe='')}&verb={verb}")["acts"]
    return bool(acts) and acts[0]["by"] == "secret key default"


def gone(shop: Shop, path: str) -> bool:
    return shop.client.get(path).status_code == 404


def reports(shop: Shop) -> int:
    return len(shop.do("GET", "/workflows/v1?function=shop%2Freport")["workflows"])


NOW = machine_now()
TABLE = (
    Done("workflow", "cancel", waiting, lambda s, k: run(s, k)["status"] == "CANCELLED", danger=True),
    Done("workflow", "retry", declined, lambda s, k: run(s, k)["generation"] == 2, {"why": "once more"}),
    Done("workflow", "rewind", declined, lambda s, k: run(s, k)["generation"] == 2, {"to": "reserve"}),
    Done("workflow", "pause", waiting, lambda s, k: run(s, k)["held"]["why"] == "later", {"why": "later"}),
    Done("workflow", "resume", paused, lambda s, k: run(s, k)["held"] is None),
    Done("workflow", "fork", declined, lambda s, k: run(s, f"{k}~2")["forked_from"] == k, {"from": "start"}),
    Done(
        "workflow", "settle", declined, lambda s, k: acted(s, "workflow", k, "settle"),
        {"step": "charge", "output": '"ch_by_hand"'},
    ),
    Done(
        "workflow", "delete", ended, lambda s, k: gone(s, f"/workflows/v1/{quote(k, safe='')}"), danger=True,
    ),
    Done(
        "workflow", "set", ended, lambda s, k: run(s, k)["attributes"] == {"customer": "42"},
        {"attributes": '{"customer": "42"}'}, "Set attributes",
    ),
    Done(
        "queue", "set", queue, lambda s, k: s.do("GET", "/queues/v1/mail")["override"] == {"concurrency": 3},
        {"concurrency": "3"}, "Set limits",
    ),
    Done("queue", "pause", queue, lambda s, k: s.do("GET", "/queues/v1/mail")["paused_at"] is not None),
    Done("queue", "resume", paused_queue, lambda s, k: s.do("GET", "/queues/v1/mail")["paused_at"] is None),
    Done("queue", "drain", queue, lambda s, k: acted(s, "queue", k, "drain"), danger=True),
    Done(
        "schedule", "create", lambda s: "each-hour",
        lambda s, k: s.do("GET", f"/schedules/v1/{k}")["every_s"] == 3600,
        {"name": "each-hour", "function": "shop/report", "every": "1h"}, "New schedule", page="/schedules",
    ),
    Done("schedule", "delete", made, lambda s, k: gone(s, f"/schedules/v1/{k}"), danger=True),
    Done("schedule", "pause", declared, lambda s, k: s.do("GET", f"/schedules/v1/{k}")["state"] == "paused"),
    Done(
        "schedule", "resume", paused_schedule,
        lambda s, k: s.do("GET", f"/schedules/v1/{k}")["state"] == "active",
    ),
    Done("schedule", "trigger", declared, lambda s, k: reports(s) > 0, {}, "Trigger now"),
    Done(
        "schedule", "backfill", declared, lambda s, k: acted(s, "schedule", k, "backfill"),
        {"after": f"{NOW - timedelta(days=1):%Y-%m-%dT%H:%M:%SZ}", "until": f"{NOW:%Y-%m-%dT%H:%M:%SZ}"},
    ),
)  # fmt: skip
"""One row for each; a new verb is covered by a row."""


def test_every_verb_that_has_a_page_is_in_this_table() -> None:
    verbs = {(each.noun.one, each.name) for each in VERBS if each not in (BULK, SEND)}
    assert {(each.noun, each.verb) for each in TABLE} == verbs


def marks(row: Done) -> list[pytest.MarkDecorator]:
    """One of them is tried each time; all of them take half a minute."""
    return [] if (row.noun, row.verb) == ("queue", "resume") else [pytest.mark.slow]


@pytest.fixture(scope="module")
def signed_in(look: Look, empty_shop: Shop) -> Look:
    look.fresh(viewport={"width": 1280, "height": 900})
    look.sign_in(empty_shop.url, SECRET)
    return look


@pytest.mark.parametrize(
    "row", [pytest.param(each, marks=marks(each), id=f"{each.noun}-{each.verb}") for each in TABLE]
)
def test_a_verb_is_done_by_keys_alone(signed_in: Look, empty_shop: Shop, row: Done) -> None:
    look, key = signed_in, row.make(empty_shop)
    page = row.page or f"/{row.noun}s/{quote(key, safe='')}"
    assert look.visit(f"{empty_shop.url}{DASHBOARD}{page}") == 200
    look.run(GO, name=row.word or row.verb.capitalize())
    said = look.run(CONFIRM, fields=row.fields, danger=row.danger)
    assert "It was" in said, said
    until(lambda: row.done(empty_shop, key), f"{row.verb} to be done; the page says {said}")
    assert look.complaints() == []


def test_a_dialog_is_left_by_escape_to_where_it_was_opened(signed_in: Look, empty_shop: Shop) -> None:
    """From the skip link on; nothing is done."""
    look = signed_in
    look.visit(f"{empty_shop.url}{DASHBOARD}/queues/mail")
    seen = look.run(
        """async ({ page }, { go }) => {
          await page.keyboard.press('Tab')
          const first = await page.evaluate(() => document.activeElement.textContent)
          await go({ page }, { name: 'Drain' })
          await page.keyboard.press('Enter')
          await page.locator('dialog[open]').waitFor()
          await page.keyboard.press('Escape')
          await page.locator('dialog').waitFor({ state: 'detached' })
          return [first, await page.evaluate(() => document.activeElement.textContent.trim())]
        }""".replace("{ go }", "given").replace("await go(", f"await ({GO})(")
    )
    assert seen == ["Skip to the content", "Drain"]
    assert not acted(empty_shop, "queue", "mail", "escape")
    assert look.complaints() == []


@pytest.mark.slow
def test_many_are_chosen_and_done_by_keys_alone(signed_in: Look, empty_shop: Shop) -> None:
    """A row is ticked by Space, the verb chosen by its first letters, and the confirmation sent by Enter."""
    look, key = signed_in, declined(empty_shop)
    look.visit(f"{empty_shop.url}{DASHBOARD}?prefix={quote(key)}")
    said = look.run(
        """async ({ page }) => {
          const at = (selector) =>
            page.evaluate((each) => document.activeElement.matches(each), selector)
          const to = async (selector) => {
            for (let steps = 0; steps < 100; steps += 1) {
              await page.keyboard.press('Tab')
              if (await at(selector)) return
            }
            throw new Error(`no Tab leads to ${selector}`)
          }
          await to('input[name=id]')
          await page.keyboard.press('Space')
          await to('select[name=verb]')
          await page.keyboard.type('retry')
          await to('button[value=chosen]')
          await Promise.all([page.waitForURL(/dashboard\\/bulk/), page.keyboard.press('Enter')])
          await to('form[method=post] button.primary')
          await Promise.all([page.waitForEvent('framenavigated'), page.keyboard.press('Enter')])
          await page.waitForLoadState('load')
          return page.locator('main').innerText()
        }"""
    )
    assert "1 of 1 were retried" in said
    assert run(empty_shop, key)["generation"] == 2
    assert look.complaints() == []
