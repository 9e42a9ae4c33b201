"""A page of a listing, with the way to the next."""

from __future__ import annotations

from urllib.parse import urlencode

from outlast.web.http.answers import JSON, NO_STORE, Answer
from outlast.web.http.documents import Verbatim, document
from outlast.web.http.parameters import Parameters

PAGE_DEFAULT = 50
PAGE_MAX = 1000


def page_answer(name: str, items: Verbatim, path: str, parameters: Parameters, cursor: str | None) -> Answer:
    """`items` under `name`. `cursor` is where the next page begins; None if this is the last one."""
    headers = [JSON, NO_STORE]
    following = None
    if cursor is not None:
        pairs = [pair for pair in parameters.pairs if pair[0] != "cursor"]
        following = f"{path}?{urlencode([*pairs, ('cursor', cursor)])}"
        headers.append((b"link", f'<{following}>; rel="next"'.encode()))
    return Answer(200, document({name: items, "next": following}).json, headers)
