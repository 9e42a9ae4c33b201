"""What `supabase/config.toml` says to us too: `[functions.NAME]` and `[api] external_url`.

The file is the Supabase CLI's: what else it holds is left alone. Its keys and secrets are those of a local
stack, and it is committed: they are never trusted here.
"""

from __future__ import annotations

import functools
import os
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, StrictBool, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

from outlast.core.errors import OutlastError
from outlast.host.env_files import read_common
from outlast.host.setting_kinds import functions_folder, shorten

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


_URL = "SUPABASE_URL"
_SWITCHES = ("enabled", "verify_jwt")
_OTHERWISE = {**dict.fromkeys(_SWITCHES, "write true or false"), "entrypoint": "write the path"}
"""The keys that are settings, and what may be written in place of a reference."""
_WORDS = {"true": True, "false": False}
_TABLES = TypeAdapter(dict[str, FunctionSettings])


class ConfigToml(PydanticBaseSettingsSource):
    """The file as a source of settings."""

    def __init__(self, settings_cls: type[BaseSettings], env_file: Path | None) -> None:
        """`env_file` is the project's file of variables."""
        super().__init__(settings_cls)
        self._env_file = env_file

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """Unused: `__call__` gives all at once."""
        raise NotImplementedError

    def __call__(self) -> dict[str, Any]:
        """The values, by alias. Raises ConfigTomlError, and EnvFileError if one refers to a variable."""
        document = _document()
        if not document:
            return {}
        stronger = self.current_state
        folder = Path(stronger.get("OUTLAST_FUNCTIONS") or functions_folder())
        references = References(lambda: known_variables(self._env_file, folder.absolute()))
        found: dict[str, Any] = {}
        if document.get("functions"):
            found[str(CONFIG_TOML)] = _tables(document, references)
        api = document.get("api")
        if isinstance(api, dict) and api.get("external_url") and not stronger.get(_URL):
            otherwise = f"set {_URL}"
            found[_URL] = references.replace("api.external_url", api["external_url"], otherwise)
        return found


def known_variables(env_file: Path | None, functions: Path) -> dict[str, str]:
    """What `env(NAME)` is looked up in: the process's environment, `functions/.env`, the project's file.

    Raises EnvFileError.
    """
    return {**read_common(env_file, functions, tell=lambda _: None), **os.environ}


def read_functions(variables: Callable[[], Mapping[str, str]]) -> dict[str, FunctionSettings]:
    """The tables of all functions as they are now. `variables` is asked where one is referred to.

    Raises ConfigTomlError, and what `variables` raises.
    """
    try:
        return _TABLES.validate_python(_tables(_document(), References(variables)) or {})
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


class References:
    """The Supabase CLI's `env(NAME)` in settings, and what they stand for."""

    def __init__(self, variables: Callable[[], Mapping[str, str]]) -> None:
        """`variables` is asked once, and only if there is a reference: it reads files."""
        self._variables = functools.cache(variables)

    def replace(self, key: str, value: Any, otherwise: str) -> Any:
        """`value`, or that of the variable which it names. Raises ConfigTomlError where that is set nowhere.

        A default in its place would serve what was to be disabled, or ask nobody for a token.
        """
        if not isinstance(value, str) or not is_reference(value):
            return value
        found = resolve(value, self._variables())
        if found is None:
            raise ConfigTomlError(
                f"{CONFIG_TOML}: {key}={shorten(value)}: the variable is not set: set it in the environment, "
                f"in functions/.env or .env, or {otherwise}"
            )
        return found


def _tables(document: dict[str, Any], references: References) -> Any:
    """`[functions]`, with `env(NAME)` replaced where no secrets are; what isn't a table is left as it is."""
    tables = document.get("functions")
    if not isinstance(tables, dict):
        return tables
    return {
        name: {
            key: _read_setting(name, key, value, references) if key in _OTHERWISE else value
            for key, value in table.items()
        }
        if isinstance(table, dict)
        else table
        for name, table in tables.items()
    }


def _read_setting(function: str, key: str, value: Any, references: References) -> Any:
    """One key's value. Only a variable may say true or false as a text: `"no"` would open a function."""
    found = references.replace(f"functions.{function}.{key}", value, _OTHERWISE[key])
    return _WORDS.get(found.strip().lower(), found) if key in _SWITCHES and found is not value else found
