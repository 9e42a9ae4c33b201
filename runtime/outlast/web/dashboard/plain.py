"""The gate's own pages: where a key is entered, what was refused, and the step back into the own site."""

from __future__ import annotations

from html import escape
from urllib.parse import quote

from outlast.web.callbacks.pages import asks
from outlast.web.dashboard.safety import DASHBOARD
from outlast.web.dashboard.ways import LOGIN, here
from outlast.web.http.answers import Answer, text_pairs
from outlast.web.http.calls import Call
from outlast.web.http.problems import Problem

_HTML = (b"content-type", b"text/html; charset=utf-8")


def sign_in_page(way_on: str, *, wrong: bool = False) -> Answer:
    """Where the key is entered. It goes into no URL."""
    action = LOGIN if way_on == DASHBOARD else f"{LOGIN}?next={quote(way_on, safe='')}"
    told = (
        '<p role="alert">This is none of the keys of this host. See <code>SUPABASE_SECRET_KEY</code>, or '
        "<code>.outlast/secret_key</code> on the embedded database.</p>"
        if wrong
        else ""
    )
    return _page(
        401 if wrong else 200,
        "Sign in",
        f'<form method="post" action="{escape(action)}">{told}<label for="key">Secret key</label>'
        '<input id="key" name="key" type="password" autocomplete="current-password" required autofocus>'
        "<button>Sign in</button></form>",
    )


def problem_page(call: Call, problem: Problem) -> Answer:
    """Why it can't be: a page for a browser, JSON for others."""
    if not asks(call):
        return problem.answer()
    page = _page(problem.status, "This can't be done", f"<p>{escape(problem.detail)}</p>")
    page.headers += [(b"sb-error-code", problem.code.encode()), *text_pairs(problem.headers)]
    return page


def forward_page(call: Call) -> Answer:
    """Comes again by itself, from this site: then the browser sends the cookie along."""
    target = escape(here(call))
    refresh = f'<meta http-equiv="refresh" content="0;url={target}">'
    return _page(200, "One moment", f'<p><a href="{target}">Go on</a></p>', refresh)


def _page(status: int, title: str, content: str, head: str = "") -> Answer:
    text = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title} · Outlast</title>{head}'
        '<meta name="viewport" content="width=device-width"></head>'
        f"<body><main><h1>{title}</h1>{content}</main></body></html>"
    )
    return Answer(status, text.encode(), [_HTML])
