"""The gate: who may open the dashboard, and that what they send comes from its own pages."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable

from outlast.store.sessions import PostgresSessions
from outlast.web.callbacks.pages import asks
from outlast.web.callers.admission import Admission
from outlast.web.callers.audit import Audit, keep_who, who_called
from outlast.web.callers.credentials import credentials_of
from outlast.web.callers.origins import check_same_origin
from outlast.web.callers.tokens import refusal
from outlast.web.dashboard.forms import CSRF, CSRF_HEADER, read_fields
from outlast.web.dashboard.guesses import Guesses
from outlast.web.dashboard.pages import Pages
from outlast.web.dashboard.safety import Guarded
from outlast.web.dashboard.sessions import Sessions, cookies_of, set_cookie
from outlast.web.dashboard.viewers import Keys, Viewer, viewer_refused
from outlast.web.dashboard.ways import LOGIN, LOGOUT, SESSION, here, sign_in_at, way_on, with_way
from outlast.web.http.answers import Answer, json_answer
from outlast.web.http.calls import Call, Sendable
from outlast.web.http.problems import Problem, ProblemError, expected_problem, problem_headers
from outlast.web.http.routes import DASHBOARD, Endpoint

ViewEndpoint = Callable[..., Awaitable[Sendable]]
"""Takes the call, who looks, and a value for each placeholder of its template."""

_READING = frozenset({"GET", "HEAD"})
_LOGIN_BYTES_MAX = 8 * 1024


class Gate:
    """Lets in who has signed in, and who sends a key with the call."""

    def __init__(
        self, rows: PostgresSessions, keys: Keys, admission: Admission, audit: Audit, pages: Pages
    ) -> None:
        self._sessions = Sessions(rows, keys)
        self._keys = keys
        self._admission = admission
        self._audit = audit
        self._guesses = Guesses()
        self._plain = PlainPages(pages)
        self.pages = pages

    def routes(self) -> list[tuple[str, str, Endpoint]]:
        """Method, template and endpoint of the gate's own pages."""
        return [
            ("GET", LOGIN, self.public(self._show_sign_in)),
            ("POST", LOGIN, self.public(self._sign_in)),
            ("POST", LOGOUT, self.guarded(self._sign_out)),
            ("GET", SESSION, self.guarded(_session)),
        ]

    def guarded(self, endpoint: ViewEndpoint) -> Endpoint:
        """An endpoint for who was let in. Others are led to the sign-in page."""

        async def answer(call: Call, *keys: str) -> Sendable:
            return await self._answer(call, lambda: self._let_in(call, endpoint, keys))

        return answer

    def public(self, endpoint: Endpoint) -> Endpoint:
        """An endpoint for anybody, with the dashboard's header fields."""

        async def answer(call: Call, *keys: str) -> Sendable:
            return await self._answer(call, lambda: endpoint(call, *keys))

        return answer

    async def refuse(self, call: Call, problem: Problem, show: ViewEndpoint) -> Sendable:
        """Where nothing is to be let in to: `show` tells it who has signed in, a plain page others."""

        async def made() -> Sendable:
            viewer = await self._viewer(call)
            if viewer is None:
                raise ProblemError(problem)
            return await show(call, viewer)

        return await self._answer(call, made)

    async def _answer(self, call: Call, make: Callable[[], Awaitable[Sendable]]) -> Sendable:
        try:
            made = await make()
        except Exception as error:
            problem = expected_problem(error)
            if problem is None:
                raise
            self._audit.record_refusal(call, problem.status, problem.code)
            made = self._plain.problem(call, problem)
        return Guarded(made)

    async def _let_in(self, call: Call, endpoint: ViewEndpoint, keys: tuple[str, ...]) -> Sendable:
        viewer = await self._viewer(call)
        if viewer is None:
            return self._unknown(call)
        if call.method in _READING:
            return await endpoint(call, viewer, *keys)
        await self._check_act(call, viewer)
        made = await endpoint(call, viewer, *keys)
        self._audit.record_management(call, getattr(made, "status", 0))
        return made

    async def _viewer(self, call: Call) -> Viewer | None:
        """Who calls: by a key or a token of theirs, or else by the cookie. Raises ProblemError (401)."""
        if call.header(b"authorization") or call.header(b"apikey"):
            return await self._by_credentials(call)
        viewer = await self._sessions.find(call)
        if viewer is not None:
            keep_who(call, viewer.who)
        return viewer

    async def _by_credentials(self, call: Call) -> Viewer:
        for presented in credentials_of(call).keys:
            key = self._keys.find(presented)
            if key is not None and key.role == "viewer":
                viewer = self._keys.viewer(key, "")
                keep_who(call, viewer.who)
                return viewer
        if not (await self._admission.to_management(call)).secret:
            raise refusal("INVALID_CREDENTIALS", "These credentials don't open this: a secret key is needed")
        fields = (b"authorization", b"apikey")
        return Viewer("operator", who_called(call), "", [each for each in call.headers if each[0] in fields])

    def _unknown(self, call: Call) -> Answer:
        """Nobody is signed in: a browser is led to the page where that is done."""
        if call.method not in _READING:
            raise refusal(
                "UNAUTHORIZED_NO_AUTH_HEADER", "You are not signed in, or not any more: sign in again"
            )
        if not cookies_of(call) and call.header(b"sec-fetch-site") == "cross-site":
            # A link of another site was followed: the browser keeps the cookie back until the next step.
            return self._plain.forward(call)
        return Answer(303, b"", [(b"location", sign_in_at(call).encode())])

    async def _check_act(self, call: Call, viewer: Viewer) -> None:
        """Raises ProblemError (403) for viewers, and for what no page of this session has sent."""
        if viewer.csrf:
            check_same_origin(call)
            sent = call.header(CSRF_HEADER) or (await read_fields(call)).get(CSRF, [""])[0]
            # guard: forms-without-their-token
            if not hmac.compare_digest(sent.encode(), viewer.csrf.encode()):
                detail = "the form is not of this session any more: load its page again, then send it"
                raise ProblemError(Problem("csrf_token", detail))
        # guard: viewers-act
        if not viewer.may_act and call.path != LOGOUT:
            raise ProblemError(viewer_refused("do this"))

    # --- signing in and out -------------------------------------------------------------------------------

    async def _show_sign_in(self, call: Call) -> Answer:
        if await self._sessions.find(call) is not None:
            return Answer(303, b"", [(b"location", way_on(call).encode())])
        return self._plain.sign_in(call, way_on(call))

    async def _sign_in(self, call: Call) -> Answer:
        check_same_origin(call)
        self._guesses.check(call)
        fields = await read_fields(call, _LOGIN_BYTES_MAX)
        key = self._keys.find(fields.get("key", [""])[0].strip())
        if key is None:
            self._guesses.wrong(call)
            self._audit.record_refusal(call, 401, "INVALID_CREDENTIALS")
            return self._plain.sign_in(call, way_on(call), wrong=True)
        await self._sessions.end(call)
        session_id = await self._sessions.begin(key)
        keep_who(call, key.who)
        self._audit.record_management(call, 303)
        return Answer(303, b"", [(b"location", way_on(call).encode()), set_cookie(call, session_id)])

    async def _sign_out(self, call: Call, viewer: Viewer) -> Answer:
        await self._sessions.end(call)
        return Answer(303, b"", [(b"location", LOGIN.encode()), set_cookie(call, "")])


async def _session(call: Call, viewer: Viewer) -> Answer:
    """Who is signed in, for scripts."""
    return json_answer({"role": viewer.role, "who": viewer.who})


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
        page.headers += problem_headers(problem)
        return page

    def forward(self, call: Call) -> Answer:
        """Comes again by itself, from this site: then the browser sends the cookie along."""
        return self._pages.answer(call, "forward.html", 200, {"target": here(call)})
