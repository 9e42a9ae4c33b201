"""The kinds of values that settings take: how each is read from text, or refused with a remedy."""

from __future__ import annotations

import json
import re
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_core import PydanticCustomError
from pydantic_settings import NoDecode


def refuse(remedy: str) -> PydanticCustomError:
    """The error for a validator to raise: `remedy` follows the variable and its value."""
    return PydanticCustomError("refused", "{remedy}", {"remedy": remedy})


def _lower(value: Any) -> Any:
    return value.strip().lower() if isinstance(value, str) else value


def _auto(value: Any) -> Any:
    return None if isinstance(value, str) and value.strip().lower() == "auto" else value


def _comma_list(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    return tuple(item for each in value.split(",") if (item := each.strip()))


def _named_keys(value: Any) -> Any:
    """Read Supabase's `{"default": "sb_…", …}`. Errors never show the value, which holds secrets."""
    try:
        keys = json.loads(value) if isinstance(value, str) else value
    except ValueError:
        keys = None
    if not isinstance(keys, dict) or not all(isinstance(key, str) and key for key in keys.values()):
        raise refuse('set a JSON object of names and keys, such as {"default": "sb_…"}')
    return keys


def _key_set(value: Any) -> Any:
    try:
        found = json.loads(value) if isinstance(value, str) else value
    except ValueError:
        found = None
    if not isinstance(found, dict | list):
        raise refuse('set a JSON Web Key Set, such as {"keys": […]}')
    return {"keys": found} if isinstance(found, list) else found


def _jwt_secret(value: str) -> str:
    if len(value.encode()) < 32:
        raise refuse("set the project's JWT secret, at least 32 characters")
    return value


def _postgres_url(value: str) -> str:
    if re.match(r"postgres(ql)?://.", value) is None and re.match(r"\w+\s*=", value) is None:
        raise refuse("set a Postgres URL, such as postgresql://USER:PASSWORD@HOST:5432/postgres")
    return value


def _http_url(value: str) -> str:
    try:
        parts = urlsplit(value)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
        str(parts.hostname).encode("idna").decode("idna")  # no label may be empty, longer than 63, or invalid
    except ValueError:
        usable = False
    if not usable or re.search(r"[\s\x00-\x1f\x7f<>\"\\]", value):
        raise refuse("set an http or https URL, such as https://HOST")
    return value.rstrip("/")


def _base_url(value: str) -> str:
    """Check a URL that paths are appended to, and that others see."""
    if "?" in value or "#" in value or "@" in urlsplit(value).netloc:
        raise refuse(
            "set an http or https URL without query, fragment and password, such as https://HOST/PATH"
        )
    return value


def _origins(value: tuple[str, ...]) -> tuple[str, ...]:
    for origin in value:
        if origin != "*" and re.fullmatch(r"[a-z][a-z0-9+.-]*://[^/\s]+", origin) is None:
            raise refuse("set * or origins separated by commas, such as https://app.example.com")
    return value


def _host_names(value: tuple[str, ...]) -> tuple[str, ...]:
    for name in value:
        if name != "*" and re.fullmatch(r"[A-Za-z0-9_.-]+|\[?[0-9A-Fa-f:.]+\]?", name) is None:
            raise refuse("set * or names separated by commas, without port, such as outlast.internal")
    return value


def _networks(value: tuple[str, ...]) -> tuple[str, ...]:
    for network in value:
        try:
            ip_network(network)
        except ValueError as error:
            text = f"set addresses or networks separated by commas, such as 10.0.0.0/8 ({error})"
            raise refuse(text) from None
    return value


def _viewer_key(value: str) -> str:
    if not re.fullmatch(r"[!-~]{16,512}", value):
        raise refuse("set 16 to 512 letters, digits and signs, such as `openssl rand -base64 24` gives")
    return value


def shorten(value: Any) -> str:
    """A value for a message: readable, and not long."""
    text = value if isinstance(value, str) and value.isprintable() and value else repr(value)
    text = re.sub(r"(?<=//)[^/@\s]*@", "…@", text)  # a password
    return text if len(text) <= 80 else f"{text[:79]}…"


def functions_folder() -> Path:
    """Return `functions`, or `supabase/functions` if only that one holds Python functions."""
    usual, theirs = Path("functions"), Path("supabase/functions")
    if not _holds_functions(usual) and _holds_functions(theirs):
        return theirs.absolute()
    return usual.absolute()


def _holds_functions(folder: Path) -> bool:
    found = [*folder.glob("*.py"), *folder.glob("*/index.py")]
    return any(not each.relative_to(folder).parts[0].startswith("_") for each in found)


Seconds = Annotated[float, Field(allow_inf_nan=False)]
CommaList = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_comma_list)]
Origins = Annotated[CommaList, AfterValidator(_origins)]
HostNames = Annotated[CommaList, AfterValidator(_host_names)]
Networks = Annotated[CommaList, AfterValidator(_networks)]
NamedKeys = Annotated[dict[str, str], NoDecode, BeforeValidator(_named_keys)]
KeySet = Annotated[dict[str, Any], NoDecode, BeforeValidator(_key_set)]
ViewerKey = Annotated[str, AfterValidator(_viewer_key)]
JwtSecret = Annotated[str, AfterValidator(_jwt_secret)]
PostgresUrl = Annotated[str, AfterValidator(_postgres_url)]
HttpUrl = Annotated[str, AfterValidator(_http_url)]
BaseUrl = Annotated[HttpUrl, AfterValidator(_base_url)]
Folder = Annotated[Path, AfterValidator(Path.absolute)]
Sessions = Annotated[bool | None, BeforeValidator(_auto)]
OpenTo = Annotated[Literal["caller", "public", "key", "off"], BeforeValidator(_lower)]
ReplayArguments = Annotated[Literal["warn", "hold", "off"], BeforeValidator(_lower)]
ReplayChecked = Annotated[Literal["off", "warn", "block"], BeforeValidator(_lower)]
LogLevel = Annotated[Literal["debug", "info", "warning", "error"], BeforeValidator(_lower)]
LogFormat = Annotated[Literal["auto", "text", "json"], BeforeValidator(_lower)]
RequestLogged = Annotated[Literal["off", "errors", "all"], BeforeValidator(_lower)]
