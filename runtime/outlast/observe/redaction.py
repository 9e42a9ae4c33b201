"""Keeps secrets out of what is shown: known values, and everything that looks like a credential."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping
from urllib.parse import quote, quote_plus, unquote

REDACTED = "[redacted]"
VALUE_CHARS = 8
"""A shorter value occurs in too many lines by chance."""
RANDOM_CHARS = 12
VALUES_MAX = 2_000
"""How many values are kept; each has several spellings."""
_NAMED = re.compile(
    r"KEY(S|_|$)|SECRET|TOKEN|PASSW|PASSPHRASE|CREDENTIAL|WEBHOOK|PRIVATE|(^|_)(PASS|SALT|DSN)(_|$)|_PWD",
    re.IGNORECASE,
)
_ORDINARY = re.compile(r"[A-Za-z]{0,11}|[0-9.:]{0,11}")
"""Words and numbers that are common in logs, such as the password `postgres`."""
_MIXED = re.compile(r"(?=.*[A-Za-z])(?=.*[0-9])[^\s]+")
_URL = re.compile(r"[./~]|\w+:/")
# Each begins with plain text, so that the search is fast. None includes a quote or a backslash, so that JSON
# stays JSON.
_FORMS = (
    r"eyJ[\w-]+\.[\w-]+\.[\w-]*",
    r"sb_secret_[\w-]+",
    r"://[^\s:/@\"'\\]*:(?P<password>(?!PASSWORD@)[^\s/@\"'\\]+)(?=@)",  # PASSWORD is an example's
    r"password=(?P<parameter>'[^\s\"'\\]*'|[^\s\"'&\\]+)",
)


class Redactor:
    """Replaces secrets in texts. Values are only added: an old secret may still occur."""

    def __init__(self) -> None:
        self._values: set[str] = set()
        self._pattern: re.Pattern[str] | None = None

    def conceal(self, values: Iterable[str | None]) -> None:
        """Never show these values, in any of their usual spellings.

        Short values and plain words are ignored.
        """
        for value in values:
            if value and _is_telling(value) and value not in self._values and len(self._values) < VALUES_MAX:
                self._values.update(each for each in _spellings(value) if _is_telling(each))
                self._pattern = None

    def redact(self, text: str) -> str:
        """`text` without secrets."""
        pattern = self._pattern
        if pattern is None:
            longest_first = sorted(self._values, key=len, reverse=True)
            pattern = self._pattern = re.compile("|".join([*map(re.escape, longest_first), *_FORMS]))
        return pattern.sub(_replace, text)


redactor = Redactor()
"""The redactor of this process. Its log, error messages and documents pass through it."""


def secrets_among(variables: Mapping[str, str], *, by_name_alone: bool = False) -> list[str]:
    """The values that must stay secret: those with such a name, and those that look random.

    Names with KEY, SECRET, TOKEN, PASSWORD and the like count. A value looks random if it has 12 characters
    or more, letters and digits, no blanks, and is no path or URL. The path of an existing file is never a
    secret.
    """
    return [
        value
        for name, value in variables.items()
        if not os.path.exists(value)  # noqa: PTH110 - a key may be given as a file; Path refuses long values
        and (_NAMED.search(name) or (not by_name_alone and _looks_random(value)))
    ]


def passwords_of(url: str | None) -> list[str]:
    """The password of a database URL, quoted and unquoted, and the whole URL."""
    if not url:
        return []
    found = re.match(r"\w+://[^:/?#]*:(.*)@", url) or re.search(r"password\s*=\s*'?([^'\s]+)", url)
    return [url, *({found[1], unquote(found[1])} if found else ())]


def _is_telling(value: str) -> bool:
    return len(value) >= VALUE_CHARS and _ORDINARY.fullmatch(value) is None


def _looks_random(value: str) -> bool:
    return len(value) >= RANDOM_CHARS and bool(_MIXED.fullmatch(value)) and _URL.match(value) is None


def _spellings(value: str) -> set[str]:
    """The value as logs, URLs, JSON and Python write it; and each line of it that is long enough."""
    lines = value.splitlines()
    parts = {value, *(line for line in lines if len(lines) > 1 and len(line) >= 2 * VALUE_CHARS)}
    return {
        spelt.rstrip("\\")
        for each in parts
        for spelt in (each, json.dumps(each)[1:-1], json.dumps(each, ensure_ascii=False)[1:-1],
                      repr(each)[1:-1], quote(each, safe=""), quote_plus(each))
    }  # fmt: skip


def _replace(found: re.Match[str]) -> str:
    group = found.lastgroup
    if group is None:
        return REDACTED
    return f"{found[0][: found.start(group) - found.start()]}{REDACTED}"
