"""Settings: where values come from, what is refused and with which words, what is handed on."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest
from pydantic import ValidationError

from outlast.engine.options import EngineOptions
from outlast.host.settings import Settings, SettingsError
from outlast.store.instances import RecoveryLimits

BASE = "set an http or https URL without query, fragment and password, such as https://HOST/PATH"


def test_the_environment_wins_over_the_file_and_options_over_both(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / ".env").write_text("PORT=1111\nOUTLAST_WORKERS=3\nOUTLAST_HOST=0.0.0.0\n")
    monkeypatch.setenv("PORT", "2222")
    settings = Settings.load(host="::1", workers=None)
    assert (settings.port, settings.workers, settings.host) == (2222, 3, "::1")
    assert settings.env_file == project / ".env"


def test_another_file_is_read_instead_of_env(project: Path) -> None:
    (project / ".env").write_text("PORT=1111\n")
    (project / "other").write_text("OUTLAST_WORKERS=2\n")
    settings = Settings.load(env_file="other")
    assert (settings.port, settings.workers) == (8000, 2)
    with pytest.raises(SettingsError, match=r"--env-file absent: there is no such file"):
        Settings.load(env_file=Path("absent"))


def test_empty_variables_are_unset(monkeypatch: pytest.MonkeyPatch, project: Path) -> None:
    (project / ".env").write_text("OUTLAST_WORKERS=\n")
    monkeypatch.setenv("SUPABASE_DB_URL", "")
    settings = Settings.load()
    assert (settings.db_url, settings.workers) == (None, 1)


def test_settings_are_frozen() -> None:
    with pytest.raises(ValidationError):
        Settings.load().__setattr__("port", 1)


def test_every_engine_option_can_be_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OUTLAST_MEMORY_MAX_MB", "640")  # else it is this machine's
    assert Settings.load().engine_options() == EngineOptions(retention_s=30 * 86_400)  # the kit keeps all
    assert Settings.load().recovery_limits() == RecoveryLimits()
    monkeypatch.setenv("OUTLAST_MEMORY_MAX_MB", "1000")
    for field in fields(EngineOptions):
        if field.name in ("memory_bytes_max", "retention_look_s"):
            continue
        value = getattr(EngineOptions(), field.name)
        name = {"watch_bodies": "reload", "retention_s": "retention_days"}.get(field.name, field.name)
        others = {"tick_s": "0.3", "replay_arguments": "hold", "watch_bodies": "true", "retention_s": "7"}
        monkeypatch.setenv(f"OUTLAST_{name.upper()}", others.get(field.name) or str(value * 2))
    options = Settings.load().engine_options()
    assert all(
        getattr(options, field.name) != getattr(EngineOptions(), field.name)
        for field in fields(options)
        if field.name != "retention_look_s"
    )


def test_every_number_has_bounds() -> None:
    kinds = {int, float, int | None}
    numbers = [name for name, field in Settings.model_fields.items() if field.annotation in kinds]
    assert len(numbers) >= 20
    for name in numbers:
        metadata = Settings.model_fields[name].metadata
        assert {"ge", "le"} <= {
            bound for each in metadata for bound in ("ge", "le") if hasattr(each, bound)
        }, name


@pytest.mark.parametrize(
    ("variable", "value", "line"),
    [
        ("PORT", "banana", "PORT=banana: set a whole number from 0 to 65535"),
        ("PORT", "70000", "PORT=70000: set a whole number from 0 to 65535"),
        ("OUTLAST_DRAIN_S", "inf", "OUTLAST_DRAIN_S=inf: set a number from 0 to 3600"),
        ("OUTLAST_DRAIN_S", "nan", "OUTLAST_DRAIN_S=nan: set a number from 0 to 3600"),
        ("OUTLAST_WORKERS", "65", "OUTLAST_WORKERS=65: set a whole number from 0 to 64"),
        ("OUTLAST_VERIFY_JWT", "maybe", "OUTLAST_VERIFY_JWT=maybe: set true or false"),
        ("OUTLAST_DB_SESSIONS", "x", "OUTLAST_DB_SESSIONS=x: set auto, true or false"),
        ("OUTLAST_LOG_LEVEL", "loud", "OUTLAST_LOG_LEVEL=loud: set one of debug, info, warning, error"),
        ("OUTLAST_HOST", "a b", "OUTLAST_HOST=a b: set a host name or address"),
        ("SUPABASE_URL", "x.co", "SUPABASE_URL=x.co: set an http or https URL, such as https://HOST"),
        ("OUTLAST_PUBLIC_URL", "https://h/p?x=1", f"OUTLAST_PUBLIC_URL=https://h/p?x=1: {BASE}"),
        ("OUTLAST_PUBLIC_URL", "https://h/#f", f"OUTLAST_PUBLIC_URL=https://h/#f: {BASE}"),
        ("OUTLAST_PUBLIC_URL", "https://u:hunter2@h", f"OUTLAST_PUBLIC_URL=https://…@h: {BASE}"),
        (
            "OUTLAST_PUBLIC_URL",
            "https://h/a b",
            "OUTLAST_PUBLIC_URL=https://h/a b: set an http or https URL, such as https://HOST",
        ),
        ("OUTLAST_URL", "http://h?", f"OUTLAST_URL=http://h?: {BASE}"),
        ("SUPABASE_URL", "https://h?apikey=x", f"SUPABASE_URL=https://h?apikey=x: {BASE}"),
        ("OUTLAST_TICK_S", "5", "OUTLAST_TICK_S=5: set at most a third of OUTLAST_LEASE_TTL_S=10"),
        (
            "OUTLAST_CORS_ORIGINS",
            "example",
            "OUTLAST_CORS_ORIGINS=example: set * or origins separated by commas, such as https://app.example.com",
        ),
        (
            "OUTLAST_RECOVERY_BACKOFF_S",
            "99",
            "OUTLAST_RECOVERY_BACKOFF_S=99: set at most OUTLAST_RECOVERY_BACKOFF_MAX_S=60",
        ),
        ("OUTLAST_HOST", "a\nb", "OUTLAST_HOST='a\\nb': set a host name or address"),
    ],
)
def test_a_bad_value_is_one_line_with_the_remedy(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, line: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError) as refusal:
        Settings.load()
    assert str(refusal.value) == line
    assert not refusal.value.from_option


def test_a_bad_option_is_named_as_the_option() -> None:
    with pytest.raises(SettingsError, match=r"^--port=99999: set a whole number from 0 to 65535$") as refusal:
        Settings.load(port=99999)
    assert refusal.value.from_option


@pytest.mark.parametrize(
    "variable", ["SUPABASE_DB_URL", "SUPABASE_SECRET_KEYS", "SUPABASE_PUBLISHABLE_KEYS", "SUPABASE_JWKS"]
)
def test_secrets_are_never_shown(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    monkeypatch.setenv(variable, "hunter2")
    with pytest.raises(SettingsError) as refusal:
        Settings.load()
    assert str(refusal.value).startswith(f"{variable}: set a ")
    assert "hunter2" not in str(refusal.value)
    assert refusal.value.__cause__ is None


def test_secrets_are_not_in_the_repr(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUPABASE_DB_URL", "postgresql://u:hunter2@h/d")
    for name in ("SECRET_KEY", "SERVICE_ROLE_KEY", "JWT_SECRET", "PUBLISHABLE_KEY", "ANON_KEY"):
        monkeypatch.setenv(f"SUPABASE_{name}", "hunter2" * 5)
    monkeypatch.setenv("SUPABASE_SECRET_KEYS", '{"default": "hunter2"}')
    monkeypatch.setenv("SUPABASE_JWKS", '[{"k": "hunter2"}]')
    assert "hunter2" not in repr(Settings.load())


def test_keys_of_all_forms_are_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings.load().secret_keys == {}
    assert Settings.load().secret_key is None
    monkeypatch.setenv("SUPABASE_SERVICE_ROLE_KEY", "legacy")
    assert Settings.load().secret_key == "legacy"
    monkeypatch.setenv("SUPABASE_SECRET_KEYS", '{"ci": "c", "default": "d"}')
    assert Settings.load().secret_key == "d"
    monkeypatch.setenv("SUPABASE_SECRET_KEY", "s")
    settings = Settings.load()
    assert settings.secret_key == "s"
    assert set(settings.secret_keys.values()) == {"s", "d", "c", "legacy"}


def test_unknown_variables_of_ours_name_the_closest(monkeypatch: pytest.MonkeyPatch, project: Path) -> None:
    (project / ".env").write_text("OUTLAST_LEASE_TTL=3\n")
    monkeypatch.setenv("OUTLAST_TICKS", "3")
    assert Settings.load().warnings == (
        "OUTLAST_LEASE_TTL is not a setting and was ignored; the closest one is OUTLAST_LEASE_TTL_S",
        "OUTLAST_TICKS is not a setting and was ignored; the closest one is OUTLAST_TICK_S",
    )


def test_a_short_lease_shortens_the_default_tick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OUTLAST_LEASE_TTL_S", "0.9")
    assert Settings.load().engine_options().tick_s == pytest.approx(0.3)


def test_lists_and_words_are_read_leniently(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OUTLAST_CORS_ORIGINS", "https://a.example , http://localhost:3000,")
    monkeypatch.setenv("OUTLAST_CRASH_AT", "step.before_run,start.after_commit:2")
    monkeypatch.setenv("OUTLAST_LOG_LEVEL", "DEBUG")
    monkeypatch.setenv("OUTLAST_DB_SESSIONS", "false")
    settings = Settings.load()
    assert settings.cors_origins == ("https://a.example", "http://localhost:3000")
    assert settings.crash_at == ("step.before_run", "start.after_commit:2")
    assert (settings.log_level, settings.db_sessions) == ("debug", False)


def test_functions_fall_back_to_supabase_functions(project: Path) -> None:
    theirs = project / "supabase" / "functions"
    theirs.mkdir(parents=True)
    (theirs / "_shared.py").touch()
    (theirs / "index.ts").touch()
    assert Settings.load().functions == project / "functions"
    (theirs / "hello").mkdir()
    (theirs / "hello" / "index.py").touch()
    assert Settings.load().functions == theirs
    (project / "functions").mkdir()
    assert Settings.load().functions == theirs
    (project / "functions" / "hello.py").touch()
    assert Settings.load().functions == project / "functions"


def write_config(project: Path, text: str) -> None:
    (project / "supabase").mkdir(exist_ok=True)
    (project / "supabase" / "config.toml").write_text(text)


def test_the_config_file_says_what_maps(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_config(
        project,
        """
        project_id = "x"
        unknown = 1
        [api]
        port = 54321
        external_url = "env(API_URL)"
        [auth]
        jwt_secret = "of a local stack, and committed: never trusted"
        secret_key = "the same"
        [functions.hello]
        verify_jwt = false
        import_map = "./deno.json"
        env = { COLOUR = "red" }
        [functions.off]
        enabled = false
        """,
    )
    monkeypatch.setenv("API_URL", "http://127.0.0.1:54321/")
    settings = Settings.load()
    assert settings.supabase_url == "http://127.0.0.1:54321"
    hello, off = settings.functions_config["hello"], settings.functions_config["off"]
    assert (hello.enabled, hello.verify_jwt, hello.env) == (True, False, {"COLOUR": "red"})
    assert (off.enabled, off.verify_jwt) == (False, None)
    assert (settings.secret_keys, settings.jwt_secret, settings.port) == ({}, None, 8000)
    monkeypatch.setenv("SUPABASE_URL", "https://x.supabase.co")
    assert Settings.load().supabase_url == "https://x.supabase.co"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[functions", r"^supabase/config\.toml is not TOML \(.*\): correct it$"),
        ("[functions.a]\nverify_jwt = 'x'", r"^supabase/config\.toml: functions\.a\.verify_jwt=x: "),
        ("[functions.a]\nverify_jwt = 'no'", r"functions\.a\.verify_jwt=no: write true or false"),
        ("[functions.a]\nverify_jwt = 'false'", r"functions\.a\.verify_jwt=false: write true or false"),
        ("[functions.a]\nverify_jwt = 0", r"functions\.a\.verify_jwt=0: write true or false"),
        ("[functions.a]\nenabled = 'off'", r"functions\.a\.enabled=off: write true or false"),
        ("[functions.a]\nenabled = 1.0", r"functions\.a\.enabled=1\.0: write true or false"),
        ("[functions.a]\nverify_jwt = 'env(HOME)'", r"functions\.a\.verify_jwt=.*: write true or false"),
        ("functions = 3", r"^supabase/config\.toml: functions=3: "),
        ("functions = ['a']", r"^supabase/config\.toml: functions="),
    ],
)
def test_a_config_file_that_is_wrong_is_one_line(project: Path, text: str, said: str) -> None:
    write_config(project, text)
    with pytest.raises(SettingsError) as refusal:
        Settings.load()
    assert re.search(said, str(refusal.value))
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(("word", "expected"), [("false", False), ("TRUE", True)])
def test_a_variable_says_true_or_false(
    project: Path, monkeypatch: pytest.MonkeyPatch, word: str, expected: bool
) -> None:
    """A variable holds only texts: `env(NAME)` is read as the Supabase CLI reads it."""
    write_config(project, "[functions.a]\nverify_jwt = 'env(SAID)'")
    monkeypatch.setenv("SAID", word)
    assert Settings.load().functions_config["a"].verify_jwt is expected


@pytest.mark.parametrize("path", [".env", "supabase/config.toml"])
def test_a_file_that_is_no_text_is_named(project: Path, path: str) -> None:
    write_config(project, "")
    (project / ".env").write_text("")
    (project / path).write_bytes(b"PORT=\xff\xfe")
    with pytest.raises(SettingsError) as refusal:
        Settings.load()
    assert path in str(refusal.value).partition(" ")[0]
    assert "\n" not in str(refusal.value)
