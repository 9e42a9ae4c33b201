"""Names of functions, idempotency keys, and the workflow ids made of them."""

from __future__ import annotations

import hashlib
import re
import secrets
import time
import uuid

from outlast.core.errors import InvalidKey

FUNCTION_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
KEY_CHARS_MAX = 255
BATCH = "/batch"
"""The end of a batch's id, after the id of its first member. No other id ends so: see workflow_id_of."""

AGAIN = "again-"
"""Stands before the generation in names of what a retried workflow made anew, where the former one stays."""

WORKFLOW_ID_BYTES_MAX = 512
"""With a map's key an id has at most 913 bytes.

Two of them in an index stay below Postgres's limit of 2,704.
"""
_HASHED = "sha256-"
_FORK = re.compile(r"~(?=[0-9]+\Z)")
_LINE = re.compile(r"~[0-9]+\Z")
_BARE_KEY = re.compile(r"""[!#-+\--:<-\[\]-~]{1,255}""")
_UUID = re.compile(r"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")
_STRING_KEY = re.compile(r'"((?:[ !#-\[\]-~]|\\["\\])*)"')


def is_function_name(name: str) -> bool:
    """Whether `name` can be served: a letter, then letters, digits, `_` and `-`."""
    return FUNCTION_NAME.fullmatch(name) is not None


def parse_key(values: list[str]) -> str | None:
    """The idempotency key of a request, from all its `Idempotency-Key` header values; None without one.

    A structured-field string (RFC 8941 section 3.3.3) or 1 to 255 bare visible ASCII characters without
    `" , ; \\` (draft-ietf-httpapi-idempotency-key-header). `"k"` and `k` are one key. Raises InvalidKey.
    """
    if not values:
        return None
    if len(values) > 1:
        raise InvalidKey("Idempotency-Key is repeated; send it once")
    text = values[0].strip(" \t")
    if string := _STRING_KEY.fullmatch(text):
        key = re.sub(r'\\(["\\])', r"\1", string[1])
    elif _BARE_KEY.fullmatch(text):
        key = text
    else:
        raise InvalidKey(
            "Idempotency-Key must be 1 to 255 visible ASCII characters without quote, comma, semicolon and "
            'backslash, or a quoted structured-field string: Idempotency-Key: "order-1"'
        )
    if not 1 <= len(key) <= KEY_CHARS_MAX:
        raise InvalidKey("Idempotency-Key must hold 1 to 255 characters")
    return key


def is_uuid(key: str) -> bool:
    """Whether a key is a UUID in its usual form (RFC 9562 section 4)."""
    return _UUID.fullmatch(key) is not None


def check_key(key: str) -> str:
    """A key given in Python. Raises InvalidKey for one that a header field could not carry.

    For an enum's member it is the value: versions of Python format members differently.
    """
    if (
        not isinstance(key, str)
        or not 1 <= len(key) <= KEY_CHARS_MAX
        or not (key.isascii() and key.isprintable())
    ):
        raise InvalidKey(f"an idempotency key is 1 to 255 printable ASCII characters, not {key!r:.100}")
    # guard: members-stay-members = key
    return str.__str__(key)


def key_of(text: str) -> str:
    """Any text as an idempotency key: unchanged if it is a valid one, else its hash."""
    plain = 1 <= len(text) <= KEY_CHARS_MAX and text.isascii() and text.isprintable()
    return text if plain and not text.startswith(_HASHED) else _HASHED + _sha256(text)


def actor_of(workflow_id: str) -> str:
    """The name of a workflow as an actor, in notes of what it did to other workflows."""
    return f"workflow {workflow_id}"


def item_key_of(key: str) -> str:
    """A map's key as part of its item's id. `~` with digits at the end marks forks, so it is escaped."""
    return _FORK.sub("%7E", key)


def workflow_id_of(function: str, subject: str | None, key: str | None) -> str:
    """The id for a caller's key: `FUNCTION:KEY`, or `FUNCTION:SUBJECT:KEY` with a subject.

    Without a key it is a fresh one. Within a key or a subject a colon becomes `%3A`, a slash `%2F`, and `%`
    becomes `%25`. So a key of one caller can't look like subject and key of another, or like the id of a
    child, `PARENT/STEP`. Ids that are too long are hashed, after a `%`, which no other id has there. `~` with
    digits at the end marks forks, so there it becomes `%7E`.
    """
    if key is None:
        return fresh_workflow_id(function)
    # guard: keys-shared-by-callers = (function, key)
    parts = (function, key) if subject is None else (function, subject, key)
    # guard: keys-name-forks = ":".join([parts[0], *map(_escape, parts[1:])])
    readable = _FORK.sub("%7E", ":".join([parts[0], *map(_escape, parts[1:])]))
    return readable if _fits(readable) else f"{function}:{_digest(readable)}"


def same_line(one: str, other: str) -> bool:
    """Whether these are the same workflow, a workflow and its fork, or forks of the same one."""
    return _LINE.sub("", one) == _LINE.sub("", other)


def child_id_of(parent: str, part: str) -> str:
    """`PARENT/PART`, the id of a child. If it is too long it begins with a hash of the parent's id.

    So children may be nested to any depth.
    """
    readable = f"{parent}/{part}"
    # guard: ids-without-bound = readable
    return readable if _fits(readable) else f"{_digest(parent)}/{part}"


def fresh_workflow_id(function: str) -> str:
    """An id for a call without a key: a UUIDv7 (RFC 9562 section 5.7).

    UUIDv7 is ordered by time. Random ids would each write to another page of two large indexes.
    """
    milliseconds = time.time_ns() // 1_000_000  # noqa: TID251 - nobody reads a date from it
    chance = secrets.randbits(74)
    number = milliseconds << 80 | 7 << 76 | chance >> 62 << 64 | 2 << 62 | chance & (1 << 62) - 1
    return f"{function}:{uuid.UUID(int=number)}"


def fingerprint_of(method: str, function: str, path: str, query: bytes, body: bytes) -> str:
    """SHA-256 (hex) of what identifies a request. Lengths separate the parts."""
    parts = (method.encode(), function.encode(), path.encode(), query, body)
    return hashlib.sha256(b"".join([b"%d:%b" % (len(part), part) for part in parts])).hexdigest()


def message_key_of(workflow_id: str, step_id: str) -> str:
    """The key under which a step sends its message. If it runs again, it sends the same message."""
    return _digest(f"{workflow_id}\n{step_id}")


def again_of(name: str, generation: int) -> str:
    """An id or a key for something new, at a place where an earlier generation has left something else."""
    return f"{name}/{AGAIN}{generation}"


def _fits(workflow_id: str) -> bool:
    return len(workflow_id.encode()) <= WORKFLOW_ID_BYTES_MAX


def _escape(part: str) -> str:
    return part.replace("%", "%25").replace(":", "%3A").replace("/", "%2F")


def _digest(text: str) -> str:
    return f"%{_HASHED}{_sha256(text)}"


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
