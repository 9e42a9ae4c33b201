"""Which text and JSON Postgres can hold, and what replaces the rest.

`text` can't hold NUL or half of a surrogate pair. `json` can hold both as escapes, but then each `->>` and
each cast to `jsonb` of the value fails (Postgres manual, 8.14 JSON Types). So values that come from outside
or are read by SQL (inputs, messages, events) may not contain NUL. Results of finished work (steps, workflows)
may; views show U+FFFD instead. A workflow's error is stored with U+FFFD.
"""

from __future__ import annotations

import re

from outlast.core.errors import NotSerializable, UsageError

REPLACEMENT = "\ufffd"
_ESCAPED_NUL = re.compile(r"(?<!\\)((?:\\\\)*)\\u0000")


def unstorable(text: str) -> str | None:
    """Why a text column can't hold `text`, in words; None if it can."""
    if "\0" in text:
        return "a NUL character"
    return None if _is_unicode(text) else "half a surrogate pair"


def check_text(text: str, of: str) -> None:
    """Raise UsageError for a text that Postgres can't hold; `of` names it in the message."""
    if (found := unstorable(text)) is not None:
        raise UsageError(f"{of} holds {found}, which Postgres can't store; leave it out")


def check_json(text: str, of: str) -> None:
    """Raise NotSerializable for JSON that SQL can't read; `of` names it in the message."""
    # guard: messages-hold-nul
    if holds_nul(text):
        raise NotSerializable(
            f"{of} holds a NUL character, which can't be stored; leave it out, or send bytes as base64"
        )


def holds_nul(text: str) -> bool:
    """Whether this JSON contains NUL. Postgres's `json` accepts it, `jsonb` and its functions don't."""
    return "\\u0000" in text and _ESCAPED_NUL.search(text) is not None


def clean_text(text: str) -> str:
    """`text`, with U+FFFD or `?` in place of characters that Postgres can't hold."""
    if "\0" in text:
        text = text.replace("\0", REPLACEMENT)
    return text if _is_unicode(text) else text.encode("utf-8", "replace").decode()


def clean_json(text: str) -> str:
    """JSON text with U+FFFD in place of NUL."""
    return _ESCAPED_NUL.sub(r"\1\\ufffd", text) if "\\u0000" in text else text


def _is_unicode(text: str) -> bool:
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
