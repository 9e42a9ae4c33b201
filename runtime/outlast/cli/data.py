"""Options of commands that send something: the data, and its idempotency key."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import click

from outlast.core.errors import InvalidKey
from outlast.core.names import parse_key


def read_data(ctx: click.Context, param: click.Parameter, value: str | None) -> bytes | None:
    """JSON as given, from a file (`@FILE`) or from standard input (`-`). Sent byte for byte."""
    if value is None:
        return None
    try:
        if value == "-":
            data = sys.stdin.buffer.read()
        elif value.startswith("@"):
            data = Path(value[1:]).read_bytes()
        else:
            data = value.encode()
    except OSError as error:
        raise click.BadParameter(f"{value[1:]} can't be read: {error.strerror}", ctx, param) from error
    try:
        json.loads(data)
    except ValueError as error:
        raise click.BadParameter(f"this is not JSON: {error}", ctx, param) from error
    return data


def header_key(ctx: click.Context, param: click.Parameter, value: str | None) -> str:
    """The key as a header field; a new key if none is given, so that the call can be sent again."""
    if value is None:
        from uuid import uuid4

        return str(uuid4())
    quoted = '"' + re.sub(r'(["\\])', r"\\\1", value) + '"'
    for form in (value, quoted):
        try:
            parse_key([form])
        except InvalidKey:
            continue
        return form
    raise click.BadParameter(
        "a key has 1 to 255 ASCII characters, none of them a control character", ctx, param
    )


key_option = click.option("--key", callback=header_key, help="The Idempotency-Key. Default: a fresh one.")
