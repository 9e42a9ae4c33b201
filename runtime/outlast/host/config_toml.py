"""What `supabase/config.toml` says to us too: `[functions.NAME]` and `[api] external_url`.

The file is the Supabase CLI's: what else it holds is left alone. Its keys and secrets are those of a local
stack, and it is committed: they are never trusted here.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, StrictBool, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails
from pydantic_settings import PydanticBaseSettingsSource

from outlast.core.errors import OutlastError
from outlast.host.setting_kinds import shorten

CONFIG_TOML = Path("supabase/config.toml")
_REFERENCE = re.compile(r"env\((.+)\)")


class ConfigTomlError(OutlastError):
    """The file can't be used; the message is one line with the remedy."""

    code = "bad_setting"


class FunctionSettings(BaseModel):
    """A `[functions.NAME]` table; what else it holds is the Supabase CLI's."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    enabled: StrictBool = True
    verify_jwt: StrictBool | None = None
    """None: not written, which is not the same as true for a function that says in code who may call it."""
    entrypoint: str | None = None
    env: dict[str, str] = Field({}, repr=False)
    """As written: `env(NAME)` stands for a variable's value."""


_SWITCHES = ("enabled", "verify_jwt")
_WORDS = {"true": True, "false": False}
_TABLES = TypeAdapter(dict[str, FunctionSettings])


class ConfigToml(PydanticBaseSettingsSource):
    """The file as a source of settings."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """Unused: `__call__` gives all at once."""
        raise NotImplementedError

    def __call__(self) -> dict[str, Any]:
        """The values, by alias. Raises ConfigTomlError."""
        document = _document()
        found: dict[str, Any] = {}
        if document.get("functions"):
            found[str(CONFIG_TOML)] = _tables(document)
        api = document.get("api")
        if isinstance(api, dict) and api.get("external_url"):
            found["SUPABASE_URL"] = _substitute(api["external_url"])
        return {name: value for name, value in found.items() if value is not None}


def read_functions() -> dict[str, FunctionSettings]:
    """The tables of all functions as they are now. Raises ConfigTomlError."""
    try:
        return _TABLES.validate_python(_tables(_document()) or {})
    except ValidationError as error:
        detail = error.errors()[0]
        raise ConfigTomlError(refused_table(detail["loc"], detail)) from None


def refused_table(location: Sequence[int | str], detail: ErrorDetails) -> str:
    """What is wrong in `[functions]`, in one line. Values of an `env` are never shown."""
    path = ".".join(["functions", *map(str, location)])
    secret = len(location) > 1 and location[1] == "env"
    value = "" if secret else f"={shorten(detail['input'])}"
    message = "write true or false, without quotes" if detail["type"] == "bool_type" else detail["msg"]
    return f"{CONFIG_TOML}: {path}{value}: {message[:1].lower()}{message[1:]}"


def resolve(value: str, environment: Mapping[str, str]) -> str | None:
    """`value`, or where it is `env(NAME)` that variable's value; None where that isn't set."""
    reference = _REFERENCE.fullmatch(value)
    return value if reference is None else environment.get(reference[1]) or None


def is_reference(value: str) -> bool:
    """Whether it is the one form that the Supabase CLI takes in an `env` table."""
    return _REFERENCE.fullmatch(value) is not None


def _document() -> dict[str, Any]:
    try:
        return tomllib.loads(CONFIG_TOML.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except tomllib.TOMLDecodeError as error:
        raise ConfigTomlError(f"{CONFIG_TOML} is not TOML ({error}): correct it") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigTomlError(f"{CONFIG_TOML} can't be read ({error}): make it a readable text") from error


def _tables(document: dict[str, Any]) -> Any:
    """`[functions]`, with `env(NAME)` replaced where no secrets are; what isn't a table is left as it is."""
    tables = document.get("functions")
    if not isinstance(tables, dict):
        return tables
    return {
        name: {
            key: each
            for key, value in table.items()
            if (each := value if key == "env" else _read_setting(key, value)) is not None
        }
        if isinstance(table, dict)
        else table
        for name, table in tables.items()
    }


def _read_setting(key: str, value: Any) -> Any:
    """One key's value. Only a variable may say true or false as a text: `"no"` would open a function."""
    found = _substitute(value)
    if key in _SWITCHES and found is not value and found is not None:
        return _WORDS.get(found.strip().lower(), found)
    return found


def _substitute(value: Any) -> Any:
    """`value` with the Supabase CLI's `env(NAME)` replaced; None where that variable is not set."""
    return resolve(value, os.environ) if isinstance(value, str) else value
