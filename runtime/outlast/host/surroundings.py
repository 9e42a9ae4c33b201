"""What functions get besides their files: the environment, and the settings in `supabase/config.toml`.

From the strongest to the weakest: `[functions.NAME.env]`, the process's environment, `functions/NAME/.env`,
`functions/.env`, `.env`. The last two are added to the process's environment. Those with a NAME are seen by
that function only.
"""

from __future__ import annotations

import json
import logging
import os
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from outlast.core.names import is_function_name
from outlast.functions.declared import Declarations, Declared
from outlast.functions.folder import scan
from outlast.host.children import let_children_inherit
from outlast.host.config_toml import CONFIG_TOML, FunctionSettings, is_reference, read_functions, resolve
from outlast.host.env_files import (
    ENV_NAME,
    RESERVED,
    EnvFileError,
    read_common,
    read_env_file,
    read_own,
)
from outlast.host.settings import Settings
from outlast.observe.redaction import passwords_of, redactor, secrets_among
from outlast.sdk.environment import environment, install

WITHHELD = frozenset({"SUPABASE_JWT_SECRET"})
"""For the host only: with it anybody can sign tokens for any user. `[functions.NAME.env]` may pass it on."""
_SECRET_PARTS = frozenset({"k", "d", "p", "q", "dp", "dq", "qi", "oth"})
"""The private members of a JSON Web Key (RFC 7518, section 6): they sign, while the others only verify."""
_logger = logging.getLogger("outlast")


class Surroundings:
    """Reads these sources, again at each reload.

    A process has one, made before its environment is extended.
    """

    def __init__(self, settings: Settings, warn: Callable[[str], None] = _logger.warning) -> None:
        """`warn` is called once for each thing that is skipped."""
        install()
        let_children_inherit()
        self._folder = settings.functions
        self._env_file = settings.env_file
        self._own = dict(os.environ)
        """The environment that the process was started with: it wins over files."""
        self._added: dict[str, str] = {}
        self._warn = warn
        self._told: set[str] = set()
        self._lock = threading.Lock()
        redactor.conceal(secrets_among(self._own, by_name_alone=True))
        # guard: signing-secret-for-functions
        for name in WITHHELD:
            os.environ.pop(name, None)

    def add_supabase(
        self, settings: Settings, database_url: str, keys: Mapping[str, str], instance_id: str
    ) -> None:
        """Set the variables that Supabase gives to each function, as far as they are known here."""
        secret_keys = settings.given_secret_keys or _name_default(
            settings.given_secret_key or _find_made_key(keys, settings)
        )
        publishable_keys = settings.given_publishable_keys or _name_default(settings.given_publishable_key)
        found = {
            "SUPABASE_URL": settings.supabase_url,
            "SUPABASE_DB_URL": database_url,
            "SUPABASE_PUBLISHABLE_KEYS": publishable_keys and json.dumps(publishable_keys),
            "SUPABASE_SECRET_KEYS": secret_keys and json.dumps(secret_keys),
            "SB_REGION": "local",
            "SB_EXECUTION_ID": instance_id,
        }
        redactor.conceal(passwords_of(database_url))
        redactor.conceal((*keys.values(), *secret_keys.values(), *publishable_keys.values()))
        if settings.jwks and (
            not os.environ.get("SUPABASE_JWKS") or public_key_set(settings.jwks) != settings.jwks
        ):
            os.environ["SUPABASE_JWKS"] = json.dumps(public_key_set(settings.jwks))
        for name, value in found.items():
            if value and not os.environ.get(name):
                os.environ[name] = value

    def declare(self) -> Declarations:
        """Read all sources again, and update the process's environment. Raises OutlastError.

        Warns once of each thing that is skipped.
        """
        with self._lock, environment(None):
            common = self._common()
            known = {**common, **self._own}
            tables = read_functions(lambda: known)
            self._export(common)
            names = {name for name in tables if is_function_name(name)} | _with_env_file(self._folder)
            declared = {
                name: self._declare_function(name, tables.get(name, FunctionSettings()), known)
                for name in sorted(names)
            }
            return Declarations(declared, common, CONFIG_TOML.parent.absolute(), str(CONFIG_TOML))

    def _common(self) -> dict[str, str]:
        """The variables of the files that all functions share, except those that the environment sets."""
        common = read_common(self._env_file, self._folder, self._tell)
        redactor.conceal(secrets_among(common))
        return {name: value for name, value in common.items() if name not in self._own}

    def _export(self, common: Mapping[str, str]) -> None:
        hidden = WITHHELD | {"SUPABASE_JWKS"}  # `add_supabase` sets the public part of SUPABASE_JWKS
        common = {name: value for name, value in common.items() if name not in hidden}
        for name in self._added.keys() - common.keys():
            os.environ.pop(name, None)
        for name, value in common.items():
            if self._added.get(name) != value:
                os.environ[name] = value
        self._added = dict(common)

    def _declare_function(self, name: str, table: FunctionSettings, known: Mapping[str, str]) -> Declared:
        fault = None
        try:
            of_file = read_own(self._folder / name / ENV_NAME, self._folder, self._tell)
        except EnvFileError as error:
            fault, of_file = str(error), {}
        for key, near in table.find_misspelt().items():
            self._tell(
                f"{CONFIG_TOML}: functions.{name}.{key} is not a setting and was ignored; write {near}"
            )
        of_table = self._read_table(name, table, known)
        redactor.conceal(secrets_among({**of_file, **of_table}))
        own = {**{each: value for each, value in of_file.items() if each not in self._own}, **of_table}
        entrypoint = table.entrypoint if table.entrypoint and table.entrypoint.endswith(".py") else None
        return Declared(table.enabled, entrypoint, own, table.verify_jwt, fault)

    def _read_table(self, name: str, table: FunctionSettings, known: Mapping[str, str]) -> dict[str, str]:
        """Read `[functions.NAME.env]`, with the values that it refers to."""
        where = f"{CONFIG_TOML}: functions.{name}.env"
        mapped: dict[str, str] = {}
        for each, written in table.env.items():
            value = resolve(written, known)
            if each.startswith(RESERVED):
                self._tell(
                    f"{where}: {each} was skipped: names that begin with {RESERVED} are Supabase's own"
                )
            elif value is None:
                self._tell(f"{where}: {each} was skipped: the variable that it refers to is not set")
            else:
                mapped[each] = value
                if not is_reference(written):
                    self._tell(
                        f"{where}: {each} is written out, which the Supabase CLI refuses: name a variable "
                        f'that holds it, as in {each} = "env({name.upper().replace("-", "_")}_{each})"'
                    )
        return mapped

    def _tell(self, line: str) -> None:
        if line not in self._told:
            self._told.add(line)
            self._warn(line)


def public_key_set(key_set: Mapping[str, Any]) -> dict[str, Any]:
    """The public part of a key set: its keys without private members. Symmetric keys are left out."""
    keys = [key for key in key_set.get("keys", ()) if isinstance(key, dict) and key.get("kty") != "oct"]
    return {"keys": [{part: key[part] for part in key if part not in _SECRET_PARTS} for key in keys]}


def check_files(settings: Settings) -> None:
    """Check once, before there are several instances.

    Raises UsageError and EnvFileError if none could start.
    """
    scan(settings.functions)
    read_env_file(settings.functions / ENV_NAME)


def _with_env_file(folder: Path) -> set[str]:
    """The functions that have a file of variables in a folder of their name."""
    return {path.parent.name for path in folder.glob(f"*/{ENV_NAME}") if is_function_name(path.parent.name)}


def _find_made_key(keys: Mapping[str, str], settings: Settings) -> str | None:
    """The key that was made for the embedded database; never a legacy one."""
    return next(iter(keys.values()), None) if not settings.secret_keys else None


def _name_default(key: str | None) -> dict[str, str]:
    return {"default": key} if key else {}
