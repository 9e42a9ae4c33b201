"""Makes pages of templates. Jinja is imported for the first one: a host that nobody looks at needs none."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from outlast.core.verbs import CANCEL, DELETE, DRAIN_QUEUE, VERBS
from outlast.web.dashboard.inputs import typed_example
from outlast.web.dashboard.shown import (
    begins,
    clock,
    cut,
    decoded,
    exact,
    in_line,
    loose,
    number,
    preview,
    request_text,
    seconds_between,
    sign,
    size,
    span,
    standing,
    visible,
)
from outlast.web.dashboard.static import Assets
from outlast.web.dashboard.viewers import HIDDEN
from outlast.web.dashboard.ways import part, workflow_url
from outlast.web.http.answers import Answer, Pairs
from outlast.web.http.calls import Call

if TYPE_CHECKING:
    from jinja2 import Environment

DANGEROUS = frozenset({CANCEL.name, DELETE.name, DRAIN_QUEUE.name})
"""What can't be taken back."""

_PAST = {each.name: each.past for each in VERBS}
"""What a page tells whose address says `done=VERB`."""

_FILTERS: dict[str, Callable[..., Any]] = {
    "preview": preview,
    "cut": cut,
    "in_line": in_line,
    "clock": clock,
    "exact": exact,
    "span": span,
    "number": number,
    "size": size,
    "part": part,
    "workflow_url": workflow_url,
    "word": shlex.quote,
    "sign": sign,
    "begins": begins,
    "loose": loose,
    "request_text": request_text,
    "decoded": decoded,
    "hint": typed_example,
    "standing": standing,
}
_PARTS = ("icons", "components", "lists", "steps", "inputs")
"""What pages are put together of, each of those before it: every template knows their macros."""

LONG_CHARS = 300
"""A text that may be longer has a field of several lines."""

_FOLDER = Path(__file__).parent / "templates"
_HTML = (b"content-type", b"text/html; charset=utf-8")
_KEPT_NOWHERE = (b"cache-control", b"no-store")


class Pages:
    """The templates. `rail` are address, word and sign of the views that stand in the left rail."""

    def __init__(self, assets: Assets, rail: Sequence[tuple[str, str, str]]) -> None:
        self.assets = assets
        self._rail = rail

    def answer(self, call: Call, template: str, status: int, values: Mapping[str, Any]) -> Answer:
        """The page, or 304 where the caller has the very same: pages that are live ask again and again."""
        body = self.text(template, {"path": call.path, **values}).encode()
        etag = f'"{sha256(body).hexdigest()[:24]}"'.encode()
        headers: Pairs = [_KEPT_NOWHERE, (b"etag", etag)]
        if status == 200 and (call.header(b"if-none-match") or "").encode() == etag:
            return Answer(304, headers=headers)
        return Answer(status, body, [_HTML, *headers])

    def text(self, template: str, values: Mapping[str, Any]) -> str:
        """The text of a template."""
        return self._environment.get_template(template).render(values)

    @cached_property
    def _environment(self) -> Environment:
        from jinja2 import Environment, FileSystemLoader, StrictUndefined

        made = Environment(
            loader=FileSystemLoader(_FOLDER),
            autoescape=True,
            undefined=StrictUndefined,
            finalize=visible,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        made.filters.update(_FILTERS)
        made.tests["hidden"] = lambda value: value is HIDDEN
        made.globals.update(
            asset=self.assets.url,
            long_chars=LONG_CHARS,
            dangerous=DANGEROUS,
            rail=self._rail,
            past=_PAST,
            seconds_between=seconds_between,
        )
        for name in _PARTS:
            macros = made.get_template(f"parts/{name}.html").module
            made.globals.update({key: each for key, each in vars(macros).items() if callable(each)})
        return made
