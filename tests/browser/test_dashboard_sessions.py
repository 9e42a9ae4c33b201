"""Sessions in a real browser: a cookie that is planted before signing in, and one that is stolen after."""

from __future__ import annotations

import secrets
from typing import Any

import pytest

from outlast.web.dashboard.sessions import COOKIE
from outlast.web.dashboard.views import DASHBOARD
from tests.browser.looking import Look
from tests.browser.shop import VIEWER, Shop
from tests.hosts import SECRET

NEWER = "sb_secret_that_is_newer_0123456789"
PLANT = """async ({ context }, { url, name, value, path }) => context.addCookies(
  [{ name, value, domain: new URL(url).hostname, path, httpOnly: true, sameSite: 'Strict' }])"""
WHERE = "async ({ page }) => new URL(page.url()).pathname"


def cookie(look: Look) -> dict[str, Any]:
    """The session's, as the browser keeps it."""
    found = look.run("async ({ context }) => context.cookies()")
    (ours,) = [each for each in found if (each["name"], each["path"]) == (COOKIE, DASHBOARD)]
    return dict(ours)


def plant(look: Look, shop: Shop, value: str, path: str = DASHBOARD) -> str:
    """Where a fresh browser comes to with this cookie: the dashboard, or the page where one signs in."""
    look.fresh()
    look.run(PLANT, url=shop.url, name=COOKIE, value=value, path=path)
    look.visit(f"{shop.url}{DASHBOARD}")
    return str(look.run(WHERE))


def test_no_script_and_no_other_path_has_the_cookie(look: Look, empty_shop: Shop) -> None:
    look.fresh()
    look.sign_in(empty_shop.url, SECRET)
    kept = cookie(look)
    assert (kept["httpOnly"], kept["sameSite"], kept["path"]) == (True, "Strict", DASHBOARD)
    seen = look.run(
        """async (look, { url, name }) => {
          const seen = { here: await look.page.evaluate(() => document.cookie) }
          await look.page.evaluate((name) => { document.cookie = `${name}=mine; path=/dashboard` }, name)
          const sent = look.page.waitForRequest((each) => each.url() === url + '/healthz')
          await look.page.goto(url + '/healthz')
          return { ...seen, elsewhere: (await (await sent).allHeaders()).cookie ?? '' }
        }""",
        url=empty_shop.url,
        name=COOKIE,
    )
    assert seen == {"here": "", "elsewhere": ""}
    assert cookie(look)["value"] == kept["value"]


@pytest.mark.parametrize("path", ["/", DASHBOARD])
def test_a_planted_cookie_opens_nothing_and_is_not_the_sessions(
    look: Look, empty_shop: Shop, path: str
) -> None:
    """Who signs in has a new id, and the planted one opens nothing, beside it neither."""
    planted = secrets.token_urlsafe(32)
    assert plant(look, empty_shop, planted, path) == f"{DASHBOARD}/login"
    look.sign_in(empty_shop.url, SECRET)
    assert cookie(look)["value"] != planted
    assert plant(look, empty_shop, planted) == f"{DASHBOARD}/login"


@pytest.mark.slow
def test_somebody_elses_session_says_whose_it_is(look: Look, empty_shop: Shop) -> None:
    """A cookie of the attacker's own session: the page names its holder, and shows no more than they see."""
    look.fresh()
    look.sign_in(empty_shop.url, VIEWER)
    theirs = cookie(look)["value"]
    assert plant(look, empty_shop, theirs) == DASHBOARD
    assert look.run("async ({ page }) => page.locator('header').innerText()").count("Viewer key") == 1
    look.run("async ({ page }) => page.getByRole('button', { name: 'Sign out' }).click()")
    look.sign_in(empty_shop.url, SECRET)
    assert cookie(look)["value"] != theirs
    assert look.run("async ({ page }) => page.locator('header').innerText()").count("Secret key") == 1
    assert plant(look, empty_shop, theirs) == f"{DASHBOARD}/login"


@pytest.mark.slow
def test_a_session_planted_beside_ones_own_is_noticed(look: Look, empty_shop: Shop) -> None:
    """Nobody is let into the one or the other unasked: who signs in again ends both."""
    look.fresh()
    look.sign_in(empty_shop.url, VIEWER)
    theirs = cookie(look)["value"]
    look.fresh()
    look.sign_in(empty_shop.url, SECRET)
    look.run(PLANT, url=empty_shop.url, name=COOKIE, value=theirs, path="/")
    look.visit(f"{empty_shop.url}{DASHBOARD}")
    assert look.run(WHERE) == f"{DASHBOARD}/login"
    look.sign_in(empty_shop.url, SECRET)
    assert plant(look, empty_shop, theirs) == f"{DASHBOARD}/login"


@pytest.mark.slow
def test_a_copied_cookie_ends_with_its_session(look: Look, empty_shop: Shop) -> None:
    look.fresh()
    look.sign_in(empty_shop.url, SECRET)
    copied = cookie(look)["value"]
    assert plant(look, empty_shop, copied) == DASHBOARD
    look.run("async ({ page }) => page.getByRole('button', { name: 'Sign out' }).click()")
    look.run("async ({ page }) => page.waitForURL(/login/)")
    assert plant(look, empty_shop, copied) == f"{DASHBOARD}/login"


@pytest.mark.slow
def test_a_new_key_ends_all_sessions_of_the_old_one(look: Look, empty_shop: Shop) -> None:
    """An open page is led to where one signs in, and from there back; a copied cookie opens nothing."""
    look.fresh()
    look.sign_in(empty_shop.url, SECRET)
    look.visit(f"{empty_shop.url}{DASHBOARD}/queues")
    copied = cookie(look)["value"]
    empty_shop.restart(SUPABASE_SECRET_KEY=NEWER)
    try:
        look.run(
            """async ({ page }, { key }) => {
              await page.waitForURL(/login/)
              await page.getByLabel(/secret key/i).fill(key)
              await page.getByRole('button', { name: 'Sign in' }).click()
              await page.waitForURL(/dashboard\\/queues$/)
            }""",
            key=NEWER,
        )
        assert cookie(look)["value"] != copied
        assert plant(look, empty_shop, copied) == f"{DASHBOARD}/login"
    finally:
        empty_shop.restart()
