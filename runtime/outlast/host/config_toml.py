"""The settings that `supabase/config.toml` holds for Outlast: `[functions.NAME]` and `[api] external_url`.

The file is the Supabase CLI's; its other settings are ignored. Its keys and secrets are those of a local
stack, and the file is committed, so they are never trusted here.
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
    """A `[functions.NAME]` table; its other keys are the Supabase CLI's."""

    model_config = ConfigDict(frozen=True, extra="allow", hide_input_in_errors=True)

    enabled: StrictBool = True
    verify_jwt: StrictBool | None = None
    """None if not written. That differs from true for a function whose code says who may call it."""
    entrypoint: str | None = None
    env: dict[str, str] = Field({}, repr=False)
    """As written: `env(NAME)` stands for a variable's value."""

    def find_misspelt(self) -> dict[str, str]:
        """Find keys that nobody knows but that look like one that somebody knows, with that one."""
        others = [key for key in self.model_extra or () if key not in _OF_CLI]
        if not others:
            return {}
        from difflib import get_close_matches

        known = [*type(self).model_fields, *_OF_CLI]
        return {key: near[0] for key in others if (near := get_close_matches(key.lower(), known, 1, 0.75))}


_OF_CLI = ("import_map", "static_files")
"""Keys of the table that mean something to the Supabase CLI alone."""
_URL = "SUPABASE_URL"
_SWITCHES = ("enabled", "verify_jwt")
_OTHERWISE = {**dict.fromkeys(_SWITCHES, "write true or false"), "entrypoint": "write the path"}
"""The keys that are settings, and what may be written instead of a reference."""
_WORDS = {"true": True, "false": False}
_TABLES = TypeAdapter(dict[str, FunctionSettings])


class ConfigToml(PydanticBaseSettingsSource):
    """The file as a source of settings."""

    def __init__(self, settings_cls: type[BaseSettings], env_file: Path | None) -> None:
        """`env_file` is the project's file of variables."""
        super().__init__(settings_cls)
        self._env_file = env_file

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """Unused: `__call__` returns all values at once."""
        raise NotImplementedError

    def __call__(self) -> dict[str, Any]:
        """Return the values by alias.

        Raises ConfigTomlError, and EnvFileError if a value refers to a variable.
        """
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
    """The variables that `env(NAME)` may name: of the environment, `functions/.env` and the project's file.

    Raises EnvFileError.
    """
    return {**read_common(env_file, functions, tell=lambda _: None), **os.environ}


def read_functions(variables: Callable[[], Mapping[str, str]]) -> dict[str, FunctionSettings]:
    """Read the tables of all functions. `variables` is called only if a value refers to a variable.

    Raises ConfigTomlError, and what `variables` raises.
    """
    try:
        return _TABLES.validate_python(_tables(_document(), References(variables)) or {})
    except ValidationError as error:
        detail = error.errors()[0]
        raise ConfigTomlError(refused_table(detail["loc"], detail)) from None


def refused_table(location: Sequence[int | str], detail: ErrorDetails) -> str:
    """Say in one line what is wrong in `[functions]`. Values of an `env` are never shown."""
    path = ".".join(["functions", *map(str, location)])
    secret = len(location) > 1 and location[1] == "env"
    value = "" if secret else f"={shorten(detail['input'])}"
    message = "write true or false, without quotes" if detail["type"] == "bool_type" else detail["msg"]
    return f"{CONFIG_TOML}: {path}{value}: {message[:1].lower()}{message[1:]}"


def resolve(value: str, environment: Mapping[str, str]) -> str | None:
    """Return `value`, or for `env(NAME)` the variable's value; None if the variable isn't set."""
    reference = _REFERENCE.fullmatch(value)
    return value if reference is None else environment.get(reference[1]) or None


def is_reference(value: str) -> bool:
    """Whether `value` has the form `env(NAME)`, the only one the Supabase CLI takes in an `env` table."""
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
    """Replaces the Supabase CLI's `env(NAME)` in settings with the variable's value."""

    def __init__(self, variables: Callable[[], Mapping[str, str]]) -> None:
        """`variables` is called once, and only if there is a reference, because it reads files."""
        self._variables = functools.cache(variables)

    def replace(self, key: str, value: Any, otherwise: str) -> Any:
        """Return `value`, or that of the variable it names. Raises ConfigTomlError if it isn't set.

        A default instead could serve a function that was to be disabled, or ask for no token.
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
    """`[functions]`, with `env(NAME)` replaced in keys that hold no secrets.

    What isn't a table stays as it is.
    """
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
    """Read one key.

    Only a variable may give true or false as text; a written `"no"` would open a function.
    """
    found = references.replace(f"functions.{function}.{key}", value, _OTHERWISE[key])
    return _WORDS.get(found.strip().lower(), found) if key in _SWITCHES and found is not value else found
