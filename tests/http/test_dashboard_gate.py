"""The dashboard's gate, over TCP: who gets in, how a session begins and ends, what other pages can't do."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import psycopg
import pytest

from tests.hosts import NO_CERTIFICATES, SECRET, ask
from tests.http.conftest import Start
from tests.http.harness import LIMIT_S, PUBLISHABLE, Served

VIEWER = "viewer_key_of_the_tests_0123"
HERE = "/dashboard/session"
LOGIN = "/dashboard/login"
LOGOUT = "/dashboard/logout"


@pytest.fixture(scope="module")
def gated(start_host: Start) -> Served:
    return start_host(
        "--workers", "2", viewer_key=VIEWER, SUPABASE_PUBLISHABLE_KEY=PUBLISHABLE, trusted_proxies="127.0.0.1"
    )


class Browser:
    """Cookies, and the header fields that a browser sends by itself."""

    def __init__(self, url: str, **headers: str) -> None:
        self.url = url
        self.client = httpx.Client(
            base_url=url, timeout=LIMIT_S, verify=NO_CERTIFICATES, headers={"accept": "text/html", **headers}
        )

    def get(self, path: str = HERE, **headers: str) -> httpx.Response:
        return self.client.get(path, headers=headers)

    def post(self, path: str, fields: dict[str, Any] | None = None, **headers: str) -> httpx.Response:
        sent = {"origin": self.url, "sec-fetch-site": "same-origin", **headers}
        return self.client.post(
            path, data=fields or {}, headers={k.replace("_", "-"): v for k, v in sent.items()}
        )

    def sign_in(self, key: str = SECRET) -> httpx.Response:
        answer = self.post(LOGIN, {"key": key})
        assert answer.status_code == 303, answer.text
        return answer

    @property
    def cookie(self) -> str:
        return self.client.cookies["outlast_session"]

    @property
    def role(self) -> str | None:
        answer = self.get()
        return answer.json()["role"] if answer.status_code == 200 else None


_addresses = iter(range(1, 255))
Browse = Callable[[], Browser]


@pytest.fixture
def browse(gated: Served) -> Iterator[Browse]:
    """Makes browsers. Each has an address of its own: wrong keys are counted by it."""
    made: list[Browser] = []

    def make() -> Browser:
        made.append(Browser(gated.url, **{"x-forwarded-for": f"203.0.113.{next(_addresses)}"}))
        return made[-1]

    yield make
    for each in made:
        each.client.close()


@pytest.fixture
def browser(browse: Browse) -> Browser:
    return browse()


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/dashboard/nope", 404, "NOT_FOUND"),
        ("/dashboard/queues/a/b/c?d=%00", 404, "NOT_FOUND"),
        ("/dashboard/", 200, None),
        ("/dashboard//", 404, "NOT_FOUND"),
        (LOGOUT, 405, "METHOD_NOT_ALLOWED"),
    ],
)
def test_an_address_of_no_page_is_a_page_that_leads_back(
    browser: Browser, path: str, status: int, code: str | None
) -> None:
    if code is not None:
        stranger = browser.get(path)
        assert (stranger.status_code, stranger.headers["sb-error-code"]) == (status, code)
        assert "<h1>This can't be done</h1>" in stranger.text
        assert f'href="{LOGIN}' in stranger.text
    browser.sign_in()
    page = browser.get(path)
    assert (page.status_code, page.headers.get("sb-error-code")) == (status, code)
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "frame-ancestors 'none'" in page.headers["content-security-policy"]
    assert 'href="/dashboard/errors"' in page.text, "the rail is there"
    assert code is None or '<a href="/dashboard">Go to the runs</a>' in page.text
    assert ("allow" in page.headers) is (status == 405)
    read = browser.get(path, accept="application/json")
    if code is not None:
        assert (read.headers["content-type"], read.json()["code"]) == ("application/json", code)


def csrf(browser: Browser) -> str:
    """The token of a session, which its pages alone show."""
    from outlast.web.dashboard.sessions import csrf_of

    return csrf_of(browser.cookie)


def test_strangers_are_led_to_the_sign_in_page_and_back(browser: Browser) -> None:
    answer = browser.get(f"{HERE}?a=1&b=%2F")
    assert answer.status_code == 303
    assert answer.headers["location"] == "/dashboard/login?next=%2Fdashboard%2Fsession%3Fa%3D1%26b%3D%252F"
    page = browser.get(answer.headers["location"])
    assert page.status_code == 200
    assert 'type="password"' in page.text
    action = re.search(r'action="([^"]+)"', page.text)
    assert action is not None
    signed = browser.post(action[1].replace("&amp;", "&"), {"key": f" {SECRET}\n"})
    assert (signed.status_code, signed.headers["location"]) == (303, f"{HERE}?a=1&b=%2F")
    assert browser.get().json() == {"role": "operator", "who": "secret key default"}
    assert browser.get(LOGIN).headers["location"] == "/dashboard"


@pytest.mark.parametrize(
    "elsewhere",
    [
        "https://evil.test/",
        "//evil.test",
        "/\\evil.test",
        "/dashboard\\..\\",
        "/dashboards",
        "/dashboard\r\nx: y",
        "/dashboard/login",
        "javascript:alert(1)",
    ],
)
def test_nobody_is_led_elsewhere(browser: Browser, elsewhere: str) -> None:
    answer = browser.client.post(
        LOGIN, params={"next": elsewhere}, data={"key": SECRET}, headers={"sec-fetch-site": "same-origin"}
    )
    assert answer.headers["location"] == "/dashboard"


def test_the_cookie_is_the_browsers_alone(browser: Browser, gated: Served) -> None:
    cookie = browser.sign_in().headers["set-cookie"]
    assert re.fullmatch(
        r"outlast_session=[\w-]{43}; Path=/dashboard; Max-Age=43200; HttpOnly; SameSite=Strict", cookie
    )
    over_tls = browser.post(LOGIN, {"key": SECRET}, x_forwarded_proto="https").headers["set-cookie"]
    assert over_tls.endswith("; Secure")
    ((hashes,),) = gated.query("select array_agg(encode(id_hash, 'hex')) from outlast.dashboard_sessions")
    assert hashlib.sha256(browser.cookie.encode()).hexdigest() in hashes
    kept = str(gated.query("select * from outlast.dashboard_sessions"))
    assert browser.cookie not in kept
    assert SECRET not in kept


def test_a_session_is_known_to_all_processes_until_its_end(browser: Browser) -> None:
    """There are two, and each call may come to any: connections are new each time."""
    browser.sign_in()
    for _ in range(8):
        assert browser.get(connection="close").status_code == 200
    stolen = browser.cookie
    assert browser.post(LOGOUT, {"csrf": csrf(browser)}).headers["location"] == LOGIN
    assert "outlast_session" not in browser.client.cookies
    for _ in range(8):
        answer = browser.get(cookie=f"outlast_session={stolen}", connection="close")
        assert answer.headers["location"].startswith(LOGIN)


def test_a_session_brought_along_is_not_taken_over(browser: Browser) -> None:
    browser.client.cookies.set("outlast_session", "fixed-by-somebody-else", path="/dashboard")
    browser.post(LOGIN, {"key": SECRET}, cookie="outlast_session=fixed-by-somebody-else")
    assert browser.get(cookie="outlast_session=fixed-by-somebody-else").status_code == 303


def test_of_two_sessions_at_once_nobody_knows_whose_they_are(browser: Browser, browse: Browse) -> None:
    """A cookie of the same name can be planted for a path above; what opens nothing changes nothing."""
    other = browse()
    other.sign_in(VIEWER)
    browser.sign_in()

    def status(*sessions: str) -> int:
        cookies = "; ".join(f"outlast_session={each}" for each in sessions)
        return ask("GET", f"{browser.url}{HERE}", headers={"cookie": cookies}).status_code

    assert status(browser.cookie, "planted") == status("planted", browser.cookie) == 200
    assert status(browser.cookie, other.cookie) == status(other.cookie, browser.cookie) == 303


def test_signing_in_again_ends_what_was(browser: Browser) -> None:
    browser.sign_in()
    first = browser.cookie
    browser.sign_in()
    assert browser.cookie != first
    alone = {"cookie": f"outlast_session={first}"}
    assert httpx.get(browser.url + HERE, headers=alone, verify=NO_CERTIFICATES).status_code == 303


def test_a_session_is_over_when_its_time_is(browser: Browser, gated: Served, browse: Browse) -> None:
    browser.sign_in()
    gated.query(
        "update outlast.dashboard_sessions set expires_at = now() where id_hash = %s",
        hashlib.sha256(browser.cookie.encode()).digest(),
    )
    assert browser.role is None
    browse().sign_in()  # which takes along what is over
    assert gated.query("select count(*) from outlast.dashboard_sessions where expires_at <= now()") == [(0,)]


def test_a_session_ends_with_its_key(gated: Served, start_host: Start, browse: Browse) -> None:
    """Another host on the same database, whose keys are others."""
    other = start_host(
        beside=gated, SUPABASE_SECRET_KEY="sb_secret_that_is_newer_0123456789", viewer_key=VIEWER
    )
    browsers = {key: browse() for key in (SECRET, VIEWER)}
    for key, browser in browsers.items():
        browser.sign_in(key)
        browser.client.base_url = other.url
    assert {key: browser.role for key, browser in browsers.items()} == {SECRET: None, VIEWER: "viewer"}


@pytest.mark.parametrize(
    "headers",
    [
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": "none"},
        {"sec-fetch-site": "cross-site", "origin": "https://evil.test"},
        {"origin": "https://evil.test"},
        {"origin": "null"},
        {},
    ],
)
def test_forms_of_other_pages_are_refused(browser: Browser, headers: dict[str, str]) -> None:
    assert browser.client.post(LOGIN, data={"key": SECRET}, headers=headers).status_code == 403
    browser.sign_in()
    answer = browser.client.post(LOGOUT, data={"csrf": csrf(browser)}, headers=headers)
    assert (answer.status_code, answer.headers["sb-error-code"]) == (403, "foreign_origin")
    assert browser.role == "operator"


def test_an_origin_alone_is_enough_where_a_browser_says_no_more(browser: Browser) -> None:
    origin = {"origin": browser.url}
    assert browser.client.post(LOGIN, data={"key": SECRET}, headers=origin).status_code == 303
    assert browser.client.post(LOGOUT, data={"csrf": csrf(browser)}, headers=origin).status_code == 303


def test_a_form_needs_the_token_of_its_session(browser: Browser, browse: Browse) -> None:
    browser.sign_in()
    other = browse()
    other.sign_in()
    for token in ("", "x", csrf(other), "ü"):
        answer = browser.post(LOGOUT, {"csrf": token})
        assert (answer.status_code, answer.headers["sb-error-code"]) == (403, "csrf_token"), token
    assert browser.post(LOGOUT, {}, content_type="text/plain").status_code == 403
    assert browser.role == "operator"
    assert browser.post(LOGOUT, {}, x_csrf_token=csrf(browser)).status_code == 303


def test_callers_by_key_need_no_session_and_no_token(gated: Served) -> None:
    client = httpx.Client(base_url=gated.url, verify=NO_CERTIFICATES)
    for name, value in (("authorization", f"Bearer {SECRET}"), ("apikey", SECRET)):
        assert client.get(HERE, headers={name: value}).json()["role"] == "operator"
        assert client.post(LOGOUT, headers={name: value}).status_code == 303
    for name, value in (("authorization", f"Bearer {VIEWER}"), ("apikey", VIEWER)):
        assert client.get(HERE, headers={name: value}).json() == {"role": "viewer", "who": "viewer key"}
    for wrong in ("Bearer nothing", f"Bearer {PUBLISHABLE}", "Basic eDp5"):
        answer = client.get(HERE, headers={"authorization": wrong})
        assert answer.status_code == 401, wrong
        assert answer.headers["content-type"] == "application/json"
    assert client.post(LOGOUT).status_code == 401
    client.close()


def test_a_viewers_key_does_nothing(browser: Browser, gated: Served) -> None:
    """Neither by a form with all that it needs, nor by a call with the key."""
    path = "/dashboard/schedules/none/do/pause"
    browser.sign_in(VIEWER)
    refused = [browser.post(path, {"csrf": csrf(browser)})]
    by_key = {"authorization": f"Bearer {VIEWER}"}
    refused.append(httpx.post(gated.url + path, headers=by_key, verify=NO_CERTIFICATES))
    for answer in refused:
        assert (answer.status_code, answer.headers["sb-error-code"]) == (403, "viewer_key")
        assert "viewer key may not" in answer.text
    assert browser.post(LOGOUT, {"csrf": csrf(browser)}).status_code == 303


def test_a_viewers_key_opens_nothing_else(gated: Served) -> None:
    for path in ("/workflows/v1", "/queues/v1", "/metrics"):
        answer = gated.client.get(path, headers={"authorization": f"Bearer {VIEWER}"})
        assert answer.status_code == 401, path


def test_wrong_keys_are_counted(browser: Browser, browse: Browse) -> None:
    for _ in range(10):
        answer = browser.post(LOGIN, {"key": "wrong"})
        assert (answer.status_code, "set-cookie" in answer.headers) == (401, False)
        assert "none of the keys" in answer.text
    answer = browser.post(LOGIN, {"key": SECRET})
    assert (answer.status_code, answer.headers["sb-error-code"]) == (429, "rate_limited")
    assert 0 < int(answer.headers["retry-after"]) <= 60
    browse().sign_in()  # others are free to


def test_a_link_of_another_site_comes_again_from_this_one(browser: Browser) -> None:
    """A Strict cookie doesn't come along with the first request, but with the one that follows."""
    answer = browser.get(f"{HERE}?q=%3Cb%3E", **{"sec-fetch-site": "cross-site"})
    assert answer.status_code == 200
    assert f'<meta http-equiv="refresh" content="0;url={HERE}?q=%3Cb%3E">' in answer.text


def test_every_answer_says_what_a_browser_may_do(browser: Browser) -> None:
    seen = [browser.get(LOGIN), browser.get(), browser.post(LOGIN, {"key": "wrong"}), browser.post(LOGOUT)]
    seen += [browser.get(cookie="outlast_session=x"), browser.get(authorization="Bearer wrong")]
    browser.sign_in()
    seen.append(browser.get())
    for answer in seen:
        headers = answer.headers
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"
        assert headers["referrer-policy"] == "same-origin"
        assert "access-control-allow-origin" not in headers


@pytest.mark.slow
def test_it_is_not_there_where_others_reach_the_host(start_host: Start) -> None:
    """Unless it is asked for; and on loopback it can be switched off."""
    absent = start_host("--host", "0.0.0.0")
    url = absent.url.replace("0.0.0.0", "127.0.0.1")
    answer = httpx.get(url + LOGIN, verify=NO_CERTIFICATES)
    assert (answer.status_code, answer.json()["code"]) == (404, "NOT_FOUND")
    assert "OUTLAST_DASHBOARD=true" in absent.process.said()
    there = start_host("--host", "0.0.0.0", beside=absent, dashboard="true")
    assert (
        httpx.get(there.url.replace("0.0.0.0", "127.0.0.1") + LOGIN, verify=NO_CERTIFICATES).status_code
        == 200
    )
    off = start_host(beside=absent, dashboard="false")
    assert httpx.get(off.url + LOGIN, verify=NO_CERTIFICATES).status_code == 404
    assert "dashboard is at" not in off.process.said()


def test_where_it_is_is_said_at_the_start(gated: Served) -> None:
    assert f"the dashboard is at {gated.url}/dashboard" in gated.process.said()


def test_roles_of_the_project_dont_see_who_is_signed_in(gated: Served) -> None:
    with psycopg.connect(gated.database) as connection:
        (kept,) = connection.execute(
            "select relrowsecurity from pg_class where oid = 'outlast.dashboard_sessions'::regclass"
        ).fetchone() or (None,)
    assert kept is True
