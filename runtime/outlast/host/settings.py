"""Settings: environment, then `.env`, then `supabase/config.toml`; checked once, frozen, handed down.

Imported only by the composition root and the commands that need settings, because pydantic-settings loads
slowly.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args
from urllib.parse import urlsplit

from pydantic import AliasGenerator, Field, PrivateAttr, ValidationError, model_validator
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails
from pydantic_settings import (
    BaseSettings,
    DotEnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from outlast.core.bounds import OUTPUT_BYTES_MAX, VALUES_MAX
from outlast.core.errors import OutlastError
from outlast.host.config_toml import CONFIG_TOML, ConfigToml, ConfigTomlError, FunctionSettings, refused_table
from outlast.host.descriptors import connections_max
from outlast.host.env_files import EnvFileError, check_lines
from outlast.host.memory import bodies_bytes, budget_bytes, memory_limit_bytes
from outlast.host.setting_kinds import (
    BaseUrl,
    CommaList,
    Folder,
    HostNames,
    HttpUrl,
    JwtSecret,
    KeySet,
    LogFormat,
    LogLevel,
    NamedKeys,
    Networks,
    OpenTo,
    Origins,
    PostgresUrl,
    ReplayArguments,
    ReplayChecked,
    RequestLogged,
    Seconds,
    Sessions,
    ViewerKey,
    functions_folder,
    refuse,
    shorten,
)
from outlast.observe.redaction import passwords_of, redactor

if TYPE_CHECKING:
    from outlast.engine.options import EngineOptions
    from outlast.store.instances import RecoveryLimits
    from outlast.web.callers.shares import CallerLimits
    from outlast.web.callers.stored import StoredLimits
    from outlast.web.http.bodies import BodyLimits
    from outlast.web.http.large_answers import ByteBudget

ENV_FILE = Path(".env")
_PREFIX = "OUTLAST_"
LOOPBACK = ("127.0.0.1", "::1", "localhost")
MIB = 1024 * 1024


class SettingsError(OutlastError):
    """A setting can't be used. The message is one line: the variable, its value and the remedy."""

    code = "bad_setting"

    def __init__(self, message: str, *, from_option: bool = False) -> None:
        super().__init__(message)
        self.from_option = from_option


_NOT_SET = {"memory_bytes_max", "watch_bodies", "retention_look_s"}
"""Options of the engine that follow from others, or that only tests set."""


class Settings(BaseSettings):
    """All settings. Made by `Settings.load` alone; only the composition root reads them."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="ignore",
        case_sensitive=True,
        populate_by_name=True,
        env_ignore_empty=True,
        env_file_encoding="utf-8",
        hide_input_in_errors=True,
        validate_default=False,
        alias_generator=AliasGenerator(validation_alias=lambda name: _PREFIX + name.upper()),
    )

    # Supabase's own names
    db_url: PostgresUrl | None = Field(None, validation_alias="SUPABASE_DB_URL", repr=False)
    supabase_url: BaseUrl | None = Field(None, validation_alias="SUPABASE_URL")
    given_secret_key: str | None = Field(None, validation_alias="SUPABASE_SECRET_KEY", repr=False)
    given_secret_keys: NamedKeys = Field({}, validation_alias="SUPABASE_SECRET_KEYS", repr=False)
    service_role_key: str | None = Field(None, validation_alias="SUPABASE_SERVICE_ROLE_KEY", repr=False)
    viewer_key: ViewerKey | None = Field(None, validation_alias="OUTLAST_VIEWER_KEY", repr=False)
    given_publishable_key: str | None = Field(None, validation_alias="SUPABASE_PUBLISHABLE_KEY", repr=False)
    given_publishable_keys: NamedKeys = Field({}, validation_alias="SUPABASE_PUBLISHABLE_KEYS", repr=False)
    anon_key: str | None = Field(None, validation_alias="SUPABASE_ANON_KEY", repr=False)
    jwt_secret: JwtSecret | None = Field(None, validation_alias="SUPABASE_JWT_SECRET", repr=False)
    jwks: KeySet | None = Field(None, validation_alias="SUPABASE_JWKS", repr=False)
    jwks_url: HttpUrl | None = Field(None, validation_alias="SUPABASE_JWKS_URL")
    jwt_issuers: CommaList = ()
    jwt_audiences: CommaList = ("authenticated",)

    # Where to listen, what to serve
    port: int = Field(8000, ge=0, le=65535, validation_alias="PORT")
    host: str = Field("127.0.0.1", pattern=r"^[^\s/]+$")
    url: BaseUrl | None = None
    public_url: BaseUrl | None = None
    functions: Folder = Field(default_factory=functions_folder)
    home: Folder = Field(default_factory=lambda: Path(".outlast").absolute())
    connections_max: int | None = Field(None, ge=1, le=1_000_000)
    workers: int = Field(1, ge=0, le=64)
    reload: bool = False
    verify_jwt: bool = True
    cors_origins: Origins = ("*",)
    allowed_hosts: HostNames = ()
    trusted_proxies: Networks = ()
    openapi: OpenTo = "caller"
    dashboard: Sessions = None
    sync_wait_s: Seconds = Field(60.0, ge=0, le=3600)
    body_bytes_max: int = Field(2 * MIB, ge=1024, le=1024**3)
    function_body_bytes_max: int = Field(10 * MIB, ge=1024, le=1024**3)
    webhook_body_bytes_max: int = Field(256 * 1024, ge=1024, le=1024**3)
    body_values_max: int = Field(VALUES_MAX, ge=100, le=100_000_000)
    bodies_bytes_max: int | None = Field(None, ge=64 * 1024, le=1024**4)
    caller_bodies_bytes_max: int | None = Field(None, ge=64 * 1024, le=1024**4)
    output_bytes_max: int = Field(OUTPUT_BYTES_MAX, ge=1024, le=1024**3)
    retention_days: float = Field(30.0, ge=0, le=36_500, allow_inf_nan=False)
    import_s_max: Seconds = Field(30.0, ge=0.1, le=3600)
    blocked_max_s: Seconds | None = Field(None, ge=0, le=86_400)
    calls_per_caller_max: int | None = Field(None, ge=1, le=1_000_000)
    caller_running_max: int | None = Field(None, ge=1, le=1_000_000)
    caller_sleeping_max: int = Field(10_000, ge=1, le=100_000_000)
    caller_stored_max: int = Field(1_000_000, ge=1, le=1_000_000_000)
    caller_requests_per_s_max: int = Field(1_000, ge=1, le=1_000_000)
    caller_streams_max: int = Field(200, ge=1, le=1_000_000)
    metrics: bool = True
    metrics_port: int | None = Field(None, ge=1, le=65535)
    log_level: LogLevel = "info"
    log_format: LogFormat = "auto"
    request_log: RequestLogged = "errors"
    request_log_per_s_max: int = Field(100, ge=1, le=1_000_000)

    # The engine's, see EngineOptions
    lease_ttl_s: Seconds = Field(10.0, ge=0.5, le=600)
    tick_s: Seconds = Field(0.6, ge=0.01, le=60)
    moment_s: Seconds = Field(1.0, ge=0, le=60)
    replay_arguments: ReplayArguments = "warn"
    replay_check: ReplayChecked = "off"
    unserved_s: Seconds = Field(15.0, ge=0.1, le=86_400)
    held_max_days: float = Field(30.0, ge=0, le=36_500, allow_inf_nan=False)
    drain_s: Seconds = Field(20.0, ge=0, le=3600)
    database_wait_s: Seconds = Field(5.0, ge=0.1, le=60)
    workflows_max: int = Field(1_000, ge=1, le=1_000_000)
    claim_batch: int = Field(200, ge=1, le=10_000)
    suspect_after: int = Field(3, ge=1, le=1_000)
    threads_max: int = Field(64, ge=1, le=1_000)
    journal_depth_max: int = Field(20_000, ge=100, le=1_000_000)
    memory_max_mb: int | None = Field(None, ge=64, le=100_000_000)

    # Recovery's, see RecoveryLimits
    recovery_attempts_max: int = Field(10, ge=1, le=1_000)
    recovery_backoff_s: Seconds = Field(0.5, ge=0, le=3600)
    recovery_backoff_max_s: Seconds = Field(60.0, ge=0, le=86_400)
    recovery_batch: int = Field(1_000, ge=1, le=10_000)

    # The store's
    db_connections: int = Field(4, ge=3, le=1_000)
    db_sessions: Sessions = None
    realtime: bool = False

    crash_at: CommaList = ()
    """Points of `core.faults` at which tests kill this process."""

    # Not from the environment
    functions_config: dict[str, FunctionSettings] = Field({}, validation_alias=str(CONFIG_TOML))
    env_file: Path | None = Field(None, validation_alias="--env-file")
    warnings: tuple[str, ...] = Field((), validation_alias="warnings")
    _from_file: dict[str, str] = PrivateAttr(default_factory=dict)
    _from_environment: frozenset[str] = PrivateAttr(default=frozenset())
    """Variables that were set at the start. Later the variables of files are added to the environment."""

    @classmethod
    def load(cls, **cli_overrides: Any) -> Settings:
        """Read all settings; an option that is None was not given. Raises SettingsError.

        `env_file` is read instead of `.env`. `warnings` of the result are lines to show at the start.
        """
        given = {name: value for name, value in cli_overrides.items() if value is not None}
        env_file = _env_file(given.pop("env_file", None))
        try:
            if env_file is not None:
                check_lines(env_file)
            from_file = DotEnvSettingsSource(cls, env_file=env_file).env_vars
            settings = cls(
                **given,
                _env_file=env_file,
                env_file=env_file,
                warnings=tuple(_unknown(cls, {**from_file, **os.environ})),
            )
            settings._from_environment = frozenset(os.environ)
            settings._from_file = {name: value for name, value in from_file.items() if value is not None}
            settings.conceal()
            return settings
        except ValidationError as error:
            raise _refusal(cls, error.errors()[0]) from None
        except (ConfigTomlError, EnvFileError) as error:
            raise SettingsError(str(error)) from error
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(f"{env_file} can't be read ({error}): make it a readable text") from error

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """pydantic-settings' hook: the sources, strongest first."""
        assert isinstance(dotenv_settings, DotEnvSettingsSource)
        path = dotenv_settings.env_file
        env_file = path if isinstance(path, Path) else None
        return init_settings, env_settings, dotenv_settings, ConfigToml(settings_cls, env_file)

    @model_validator(mode="after")
    def _fit(self) -> Settings:
        if "tick_s" in self.model_fields_set and self.tick_s > self.lease_ttl_s / 3:
            raise refuse(
                f"OUTLAST_TICK_S={self.tick_s:g}: set at most a third of "
                f"OUTLAST_LEASE_TTL_S={self.lease_ttl_s:g}"
            )
        if self.viewer_key is not None and self.viewer_key in self.secret_keys.values():
            raise refuse("OUTLAST_VIEWER_KEY: set another key than a secret one, which sees all")
        if self.recovery_backoff_s > self.recovery_backoff_max_s:
            raise refuse(
                f"OUTLAST_RECOVERY_BACKOFF_S={self.recovery_backoff_s:g}: set at most "
                f"OUTLAST_RECOVERY_BACKOFF_MAX_S={self.recovery_backoff_max_s:g}"
            )
        return self

    def conceal(self) -> None:
        """Keep the secrets of these settings out of everything that this process shows from now on."""
        redactor.conceal(passwords_of(self.db_url))
        keys = (*self.secret_keys.values(), *self.publishable_keys.values())
        redactor.conceal(
            (self.jwt_secret, self.viewer_key, self.given_secret_key, self.given_publishable_key, *keys)
        )

    def changed_in(self, variables: Mapping[str, str]) -> list[str]:
        """The names of the settings that would change if the file of settings were read again.

        `variables` is what the file says now. The environment and options override it.
        """
        before = self._from_file
        return sorted(
            name
            for name in _variables(type(self))
            if name not in self._from_environment and before.get(name) != variables.get(name)
        )

    @property
    def secret_keys(self) -> dict[str, str]:
        """All secret keys by name, `default` first if there is one."""
        return _keys(self.given_secret_key, self.given_secret_keys, "service_role", self.service_role_key)

    @property
    def secret_key(self) -> str | None:
        """The secret key to call with."""
        return next(iter(self.secret_keys.values()), None)

    @property
    def publishable_keys(self) -> dict[str, str]:
        """All publishable keys by name."""
        return _keys(self.given_publishable_key, self.given_publishable_keys, "anon", self.anon_key)

    @property
    def key_set_url(self) -> str | None:
        """Where the keys that sign tokens are published; None if they are given here, or no URL is known."""
        if self.jwks_url is not None:
            return self.jwks_url
        if self.jwks is not None or self.supabase_url is None:
            return None
        return f"{self.supabase_url}/auth/v1/.well-known/jwks.json"

    @property
    def token_issuers(self) -> tuple[str, ...]:
        """The allowed `iss` of tokens; any if empty."""
        if self.jwt_issuers or self.supabase_url is None:
            return self.jwt_issuers
        return (f"{self.supabase_url}/auth/v1",)

    @property
    def known_hosts(self) -> tuple[str, ...]:
        """Host names besides loopback's that are accepted while callers need no credentials."""
        named = urlsplit(self.url).hostname if self.url else None
        return (*self.allowed_hosts, self.host, *([named] if named else []))

    @property
    def reached_at(self) -> str | None:
        """The URL at which others reach this host; None if unknown. On loopback it is host and port."""
        if self.public_url is not None or self.port == 0 or self.host not in LOOPBACK:
            return self.public_url
        return f"http://{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"

    @property
    def serves_dashboard(self) -> bool:
        """Whether `/dashboard` is served: by default only if this machine alone can reach it."""
        return self.host in LOOPBACK if self.dashboard is None else self.dashboard

    @property
    def worker_silent_max_s(self) -> float:
        """How long a worker's event loop may be blocked; 0: without limit.

        With several workers the default is long after its lease expired. A single worker is never killed by
        default, since no other could take over its workflows.
        """
        if self.blocked_max_s is not None:
            return self.blocked_max_s
        return 2 * self.lease_ttl_s if self.workers > 1 else 0.0

    @property
    def processes(self) -> int:
        """How many processes serve."""
        return max(1, self.workers)

    @property
    def _memory_bytes(self) -> int:
        """The memory that all workers together may take."""
        return memory_limit_bytes() if self.memory_max_mb is None else self.memory_max_mb * MIB

    def body_limits(self) -> BodyLimits:
        """The web floor's limits for one body."""
        from outlast.web.http.bodies import BodyLimits

        return BodyLimits(self.body_bytes_max, self.function_body_bytes_max, self.webhook_body_bytes_max)

    def byte_budget(self) -> ByteBudget:
        """The web floor's limit for all bodies together, and again for answers.

        One caller may use a quarter.
        """
        from outlast.web.http.large_answers import ByteBudget

        of_all = self.bodies_bytes_max or bodies_bytes(self._memory_bytes, self.processes)
        return ByteBudget(of_all, self.caller_bodies_bytes_max or of_all // 4)

    @property
    def _suspect_after(self) -> int:
        """After how many lost attempts a workflow runs alone: another workflow may have caused the losses."""
        return min(self.suspect_after, self.recovery_attempts_max)

    @property
    def retention_s(self) -> float:
        """How long ended workflows are kept; 0: for ever."""
        return self.retention_days * 86_400

    def engine_options(self) -> EngineOptions:
        """The engine's options. A short lease shortens the default tick."""
        from outlast.engine.options import EngineOptions

        names = {field.name for field in fields(EngineOptions)} - _NOT_SET
        chosen: dict[str, Any] = {name: getattr(self, name) for name in names}
        chosen["memory_bytes_max"] = budget_bytes(self._memory_bytes, self.processes)
        chosen["watch_bodies"] = self.reload
        chosen["tick_s"] = min(self.tick_s, self.lease_ttl_s / 3)
        chosen["suspect_after"] = self._suspect_after
        return EngineOptions(**chosen)

    def connections(self) -> int:
        """How many callers' connections a process may hold. Raises TooFewDescriptors."""
        return connections_max(self.connections_max, self.db_connections)

    def stored_limits(self) -> StoredLimits:
        """How much the database may hold of one caller."""
        from outlast.web.callers.stored import StoredLimits

        return StoredLimits(self.caller_sleeping_max, self.caller_stored_max)

    def caller_limits(self) -> CallerLimits:
        """What one caller may use: by default half of the places for calls and for workflows."""
        from outlast.web.callers.shares import CallerLimits

        calls = self.calls_per_caller_max or max(1, min(self.workflows_max, self.connections()) // 2)
        running = self.caller_running_max or min(calls, max(1, self.workflows_max // 2))
        return CallerLimits(calls, running, self.caller_requests_per_s_max, self.caller_streams_max)

    def recovery_limits(self) -> RecoveryLimits:
        """The store's limits for recovery."""
        from outlast.store.instances import RecoveryLimits

        return RecoveryLimits(
            attempts_max=self.recovery_attempts_max,
            suspect_after=self._suspect_after,
            backoff_s=self.recovery_backoff_s,
            backoff_max_s=self.recovery_backoff_max_s,
            batch=self.recovery_batch,
        )


def _env_file(given: Any) -> Path | None:
    if given is None:
        return ENV_FILE.absolute() if ENV_FILE.is_file() else None
    path = Path(given).absolute()
    if not path.exists() or path.is_dir():
        raise SettingsError(f"--env-file {given}: there is no such file", from_option=True)
    return path


def _keys(
    single: str | None, named: Mapping[str, str], legacy_name: str, legacy: str | None
) -> dict[str, str]:
    keys = {}
    if single and single not in named.values():
        keys["single" if "default" in named else "default"] = single
    if "default" in named:
        keys["default"] = named["default"]
    keys.update(named)
    return keys | ({legacy_name: legacy} if legacy else {})


def _variables(cls: type[Settings]) -> dict[str, str]:
    """Map variables to field names."""
    return {str(field.validation_alias): name for name, field in cls.model_fields.items()}


def _unknown(cls: type[Settings], environment: Mapping[str, str | None]) -> list[str]:
    """Return a line for each variable that looks like a setting of Outlast and isn't."""
    known = [name for name in _variables(cls) if name.startswith(_PREFIX)]
    unknown = sorted(name for name in environment if name.startswith(_PREFIX) and name not in known)
    if not unknown:
        return []
    from difflib import get_close_matches

    lines = []
    for name in unknown:
        bare = {each.removeprefix(_PREFIX): each for each in known}
        close = get_close_matches(name.removeprefix(_PREFIX), bare, 1)
        near = f"; the closest one is {bare[close[0]]}" if close else ""
        lines.append(f"{name} is not a setting and was ignored{near}")
    return lines


def _refusal(cls: type[Settings], detail: ErrorDetails) -> SettingsError:
    """Say in one line what is wrong: variable or option, value unless it is secret, remedy."""
    location, value = detail["loc"], detail.get("input")
    refused = str(detail["ctx"]["remedy"]) if detail["type"] == "refused" else None
    if not location:
        return SettingsError(refused or detail["msg"])
    variable = str(location[0])
    name = variable if variable in cls.model_fields else _variables(cls)[variable]
    field = cls.model_fields[name]
    if name == "functions_config":
        return SettingsError(refused_table(location[1:], detail))
    from_option = variable == name
    if from_option:
        variable = f"--{name.replace('_', '-')}"
    text = "" if field.repr is False else f"={shorten(value)}"
    return SettingsError(f"{variable}{text}: {refused or f'set {_expected(field)}'}", from_option=from_option)


def _expected(field: FieldInfo) -> str:
    """Describe the values that `field` takes."""
    kinds = {field.annotation, *get_args(field.annotation)}
    least = next((each.ge for each in field.metadata if hasattr(each, "ge")), None)
    most = next((each.le for each in field.metadata if hasattr(each, "le")), None)
    if bool in kinds:
        return "auto, true or false" if type(None) in kinds else "true or false"
    if int in kinds or float in kinds:
        return f"a {'whole ' if int in kinds else ''}number from {least:,} to {most:,}".replace(",", "")
    if choices := get_args(field.annotation) if str not in kinds and type(None) not in kinds else ():
        return f"one of {', '.join(map(str, choices))}"
    return "a host name or address" if str in kinds else "a path"
