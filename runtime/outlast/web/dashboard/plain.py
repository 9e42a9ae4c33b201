"""The gate's own pages: where a key is entered, what was refused, and the step back into the own site."""

from __future__ import annotations

from outlast.web.callbacks.pages import asks
from outlast.web.dashboard.pages import Pages
from outlast.web.dashboard.safety import DASHBOARD
from outlast.web.dashboard.ways import LOGIN, here, sign_in_at, with_way
from outlast.web.http.answers import Answer, text_pairs
from outlast.web.http.calls import Call
from outlast.web.http.problems import Problem


class PlainPages:
    """Pages for who isn't signed in."""

    def __init__(self, pages: Pages) -> None:
        self._pages = pages

    def sign_in(self, call: Call, way_on: str, *, wrong: bool = False) -> Answer:
        """Where the key is entered. It goes into no URL."""
        action = LOGIN if way_on == DASHBOARD else with_way(way_on)
        return self._pages.answer(
            call, "login.html", 401 if wrong else 200, {"action": action, "wrong": wrong}
        )

    def problem(self, call: Call, problem: Problem) -> Answer:
        """Why it can't be: a page for a browser, JSON for others."""
        if not asks(call):
            return problem.answer()
        values = {"problem": problem, "sign_in": sign_in_at(call)}
        page = self._pages.answer(call, "refused.html", problem.status, values)
        page.headers += [(b"sb-error-code", problem.code.encode()), *text_pairs(problem.headers)]
        return page

    def forward(self, call: Call) -> Answer:
        """Comes again by itself, from this site: then the browser sends the cookie along."""
        return self._pages.answer(call, "forward.html", 200, {"target": here(call)})
