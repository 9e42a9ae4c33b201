"""Asks the running host for commands: HTTP calls, and their failures in one line."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin, urlsplit

import httpx

from outlast.cli.failures import CommandFailed
from outlast.cli.screen import one_line

CONNECT_TIMEOUT_S = 5.0
PAGE_ROWS = 1_000
SILENCE_MAX_S = 60.0
"""A stream sends something more often: every 15 s that it is still there."""

ANSWER_MARGIN_S = 15.0
"""How much longer than requested an answer may take."""

UNREACHABLE = "unreachable"
CONNECTION_BROKEN = "connection_broken"
_GATEWAY_STATUSES = frozenset({429, 502, 503, 504})
_REASONS_MAX = 10
"""At most this many places of an input are named in one line."""
_REFUSALS = frozenset(
    {"overloaded", "shutting_down", "database_unavailable", "jwks_unavailable", "rate_limited"}
)
"""The host takes no call now, or leaves a workflow to another instance. No function answers like this."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A complete HTTP answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    next_path: str | None = None
    """Path and query of the next page, if there is one."""

    @property
    def is_json(self) -> bool:
        """Whether the body says that it is JSON."""
        kind = self.headers.get("content-type", "").split(";")[0].strip().lower()
        return kind == "application/json" or kind.endswith("+json")

    def document(self) -> dict[str, Any]:
        """The body as a JSON object. Raises CommandFailed if the other side isn't Outlast."""
        try:
            found = json.loads(self.body)
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise CommandFailed("bad_answer", "the answer is not Outlast's: is --url the address of a host?")
        return found


class Remote:
    """A host at `url`, called with its secret key."""

    def __init__(self, url: str, key: str | None) -> None:
        parts = urlsplit(url)
        self.url = url
        self.has_key = key is not None
        self._origin = (parts.scheme, parts.netloc)
        local = parts.hostname in ("127.0.0.1", "localhost", "::1")
        self._http = httpx.Client(
            headers={"apikey": key} if key is not None else {},
            trust_env=not local,  # a proxy in the environment can't reach this machine
            follow_redirects=False,  # so that the key is sent nowhere else
        )

    def call(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, Any] | None = None,
        body: bytes | None = None,
        answer_timeout_s: float | None = ANSWER_MARGIN_S,
    ) -> Answer:
        """The host's answer of any status. Raises CommandFailed if no answer comes."""
        timeout = httpx.Timeout(answer_timeout_s, connect=CONNECT_TIMEOUT_S)
        try:
            response = self._http.request(
                method, self.url + path, headers=headers, params=params, content=body, timeout=timeout
            )
        except httpx.HTTPError as error:
            raise self._failed(error) from error
        return Answer(response.status_code, response.headers, response.content, self._next(response))

    @contextmanager
    def stream(
        self, path: str, *, headers: Mapping[str, str], params: Mapping[str, Any]
    ) -> Iterator[Iterator[bytes]]:
        """The lines of a stream of server-sent events, as they come.

        Raises CommandFailed, also during the stream.
        """
        timeout = httpx.Timeout(SILENCE_MAX_S, connect=CONNECT_TIMEOUT_S)
        asked = {"accept": "text/event-stream", **headers}
        try:
            with self._http.stream(
                "GET", self.url + path, headers=asked, params=params, timeout=timeout
            ) as response:
                if response.status_code >= 400:
                    raise self.problem_of(Answer(response.status_code, response.headers, response.read()))
                yield self._lines_of(response)
        except httpx.HTTPError as error:
            raise self._failed(error) from error

    def close(self) -> None:
        """Close its connections."""
        self._http.close()

    def get(self, path: str, **params: Any) -> Answer:
        """A document of the management API; absent parameters are left out. Raises CommandFailed."""
        given = {name: value for name, value in params.items() if value is not None}
        return self.check(self.call("GET", path, params=given or None))

    def send(self, method: str, path: str, document: Mapping[str, Any]) -> Answer:
        """Send a document, or no body if it is empty; return the answer. Raises CommandFailed."""
        # An argument that is no UTF-8 must fail here: escaped it would be sent.
        body = json.dumps(document, ensure_ascii=False).encode() if document else None
        headers = {"content-type": "application/json"} if document else None
        return self.check(self.call(method, path, headers=headers, body=body))

    def rows(self, name: str, path: str, limit: int, **params: Any) -> list[dict[str, Any]]:
        """The rows called `name` of a listing, page after page, at most `limit`. Raises CommandFailed."""
        answer = self.get(path, limit=min(limit, PAGE_ROWS), **params)
        page: list[dict[str, Any]] = answer.document().get(name) or []
        found = page
        while page and len(found) < limit and answer.next_path is not None:
            answer = self.get(answer.next_path)
            page = answer.document().get(name) or []
            found = found + page
        return found[:limit]

    def check(self, answer: Answer) -> Answer:
        """`answer`, unless it is an error. Raises CommandFailed."""
        if answer.status >= 400:
            raise self.problem_of(answer)
        return answer

    def problem_of(self, answer: Answer) -> CommandFailed:
        """An error answer in one line."""
        problem = problem_document(answer)
        more: dict[str, Any] = {"http_status": answer.status}
        if problem is None:
            more["body"] = decoded(answer)
            return CommandFailed("http_error", f"the answer was HTTP {answer.status}", **more)
        more |= {name: problem.get(name) for name in ("workflow_id", "retryable", "errors")}
        parts = [f"{answer.status} {problem['code']}"]
        if problem.get("workflow_id"):
            parts.append(f"workflow {problem['workflow_id']}")
        message = f"{_sentence(problem)} ({', '.join(parts)})"
        if answer.status in (401, 403) and not self.has_key:
            message += (
                ": no secret key was found; set SUPABASE_SECRET_KEY, or run this in the project's folder"
            )
        return CommandFailed(problem["code"], one_line(message), **more)

    def _lines_of(self, response: httpx.Response) -> Iterator[bytes]:
        """Lines end only with line feeds: httpx knows more line ends than event streams have."""
        rest = b""
        try:
            for data in response.iter_bytes():
                *lines, rest = (rest + data).split(b"\n")
                yield from lines
        except httpx.HTTPError as error:
            raise self._failed(error) from error

    def _failed(self, error: httpx.HTTPError) -> CommandFailed:
        """Say why no answer comes."""
        if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
            return CommandFailed(UNREACHABLE, f"can't reach {self.url} - is `outlast serve` running?")
        reason = one_line(str(error)) or type(error).__name__
        return CommandFailed(
            CONNECTION_BROKEN, f"{self.url} gave no answer ({reason}): see the log of the host"
        )

    def _next(self, response: httpx.Response) -> str | None:
        """The next page, if it is this host's, because the key is sent nowhere else."""
        target = response.links.get("next", {}).get("url")
        if target is None:
            return None
        parts = urlsplit(urljoin(str(response.url), target))
        if (parts.scheme, parts.netloc) != self._origin:
            raise CommandFailed("bad_answer", f"{self.url} names a page of another host, {parts.netloc}")
        base = urlsplit(self.url).path
        return parts.path.removeprefix(base) + (f"?{parts.query}" if parts.query else "")


def is_temporary(failure: CommandFailed) -> bool:
    """Whether the same request may succeed soon, with another instance or when this one is back."""
    passing = failure.code in (UNREACHABLE, CONNECTION_BROKEN)
    return passing or failure.more.get("http_status") in _GATEWAY_STATUSES


def is_refusal(answer: Answer) -> bool:
    """Whether the host says that the same call, with the same key, may succeed soon."""
    if answer.status not in _GATEWAY_STATUSES or "idempotency-replayed" in answer.headers:
        return False
    problem = problem_document(answer)
    return problem is not None and problem["code"] in _REFUSALS


def is_from_proxy(answer: Answer) -> bool:
    """Whether a proxy answers for a host that is away."""
    ours = "idempotency-replayed" in answer.headers or problem_document(answer) is not None
    return answer.status in _GATEWAY_STATUSES and not ours


def problem_document(answer: Answer) -> dict[str, Any] | None:
    """The body of an error answer, if it is Outlast's or Supabase's gateway's."""
    found = decoded(answer) if answer.is_json else None
    if not isinstance(found, dict) or not isinstance(found.get("code"), str):
        return None
    return found if isinstance(found.get("detail") or found.get("message"), str) else None


def decoded(answer: Answer) -> Any:
    """JSON decoded, text as text, otherwise None."""
    try:
        text = answer.body.decode()
        return json.loads(text) if answer.is_json else text
    except ValueError:
        return None


def _sentence(problem: Mapping[str, Any]) -> str:
    """What happened, with pydantic's reason for each place of the input."""
    text = str(problem.get("detail") or problem.get("message"))
    errors = problem.get("errors")
    reasons: dict[str, list[str]] = {}
    for error in errors if isinstance(errors, list) else ():
        if isinstance(error, dict) and str(error.get("msg")) not in text:
            where = ".".join(str(each) for each in error.get("loc", ())) or "body"
            reasons.setdefault(where, []).append(str(error.get("msg")))
    if not reasons:
        return text
    told = [f"{where}: {', '.join(reasons[where])}" for where in sorted(reasons)]
    if len(told) > _REASONS_MAX:
        told[_REASONS_MAX:] = [f"and {len(told) - _REASONS_MAX} more (--json shows all)"]
    head, _, places = text.rpartition(": ")
    return f"{head if places.split(', ') == sorted(reasons) else text}: {'; '.join(told)}"
