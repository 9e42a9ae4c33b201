"""What files say beside the functions: who wins, who sees it, what is skipped, and what stays secret."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from outlast.core.errors import OutlastError
from outlast.functions.declared import Declarations
from outlast.host.settings import Settings
from outlast.host.surroundings import Surroundings
from outlast.observe.redaction import REDACTED, redactor
from tests.cli.conftest import Runs

SECRET = "geheim-of-the-files-1"


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """The environment is the process's: whatever a test adds is taken away again."""
    before = dict(os.environ)
    yield
    for name in os.environ.keys() - before.keys():
        del os.environ[name]
    os.environ.update(before)


class Project:
    """A project's folder, and what is read there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.told: list[str] = []
        self._surroundings: Surroundings | None = None

    def write(self, name: str, text: str) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def declare(self) -> Declarations:
        if self._surroundings is None:
            self._surroundings = Surroundings(Settings.load(), self.told.append)
        return self._surroundings.declare()

    def seen_by(self, name: str) -> dict[str, str]:
        """What this function finds under the names of these tests."""
        found = self.declare()
        own = dict(found.functions[name].environment) if name in found.functions else {}
        return {each: value for each, value in {**os.environ, **own}.items() if each.startswith("T_")}


@pytest.fixture
def files(project: Path) -> Project:
    (project / "functions").mkdir()
    return Project(project)


def test_the_most_specific_wins_and_the_real_environment_over_files(
    files: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("T_REAL", "process")
    monkeypatch.setenv("T_MAPPED", "process")
    monkeypatch.setenv("T_SOURCE", "mapped")
    names = ("T_REAL", "T_MAPPED", "T_ENV", "T_ALL", "T_OWN")
    files.write(".env", "".join(f"{name}=env\n" for name in names))
    files.write("functions/.env", "".join(f"{name}=all\n" for name in names if name != "T_ENV"))
    files.write("functions/a/.env", "T_REAL=own\nT_MAPPED=own\nT_OWN=own\n")
    files.write("supabase/config.toml", '[functions.a.env]\nT_MAPPED = "env(T_SOURCE)"\n')
    assert files.seen_by("a") == {
        "T_REAL": "process", "T_MAPPED": "mapped", "T_ENV": "env", "T_ALL": "all", "T_OWN": "own",
        "T_SOURCE": "mapped",
    }  # fmt: skip
    assert files.seen_by("b") == {
        "T_REAL": "process", "T_MAPPED": "process", "T_ENV": "env", "T_ALL": "all", "T_OWN": "all",
        "T_SOURCE": "mapped",
    }  # fmt: skip
    assert files.told == []


def test_references_are_found_in_the_files_too(files: Project) -> None:
    files.write(".env", "T_ONE=1\nT_EMPTY=\n")
    files.write("functions/.env", "T_TWO=2\n")
    files.write(
        "supabase/config.toml",
        '[functions.a.env]\nT_A = "env(T_ONE)"\nT_B = "env(T_TWO)"\n'
        'T_C = "env(T_GONE)"\nT_D = "env(T_EMPTY)"\n',
    )
    assert files.declare().functions["a"].environment == {"T_A": "1", "T_B": "2"}
    assert files.told == [
        f"supabase/config.toml: functions.a.env: {name} was skipped: "
        "the variable that it refers to is not set"
        for name in ("T_C", "T_D")
    ]


def test_a_change_is_seen_at_the_next_look(files: Project) -> None:
    files.write("functions/.env", "T_A=1\nT_B=1\n")
    files.write("functions/a/.env", "T_C=1\n")
    first = files.declare()
    assert first == files.declare()
    files.write("functions/.env", "T_B=2\n")
    assert files.declare() != first
    assert files.seen_by("a") == {"T_B": "2", "T_C": "1"}
    files.write("functions/a/.env", "")
    (files.folder / "functions" / ".env").unlink()
    assert files.seen_by("a") == {}


def test_supabase_s_names_are_reserved(files: Project) -> None:
    files.write(".env", "SUPABASE_OF_TEST=project\n")
    files.write("functions/.env", f"SUPABASE_OF_TEST={SECRET}\nSUPABASE_MORE={SECRET}\n")
    files.write("functions/a/.env", f"SUPABASE_OF_TEST={SECRET}\nT_A=1\n")
    files.write("supabase/config.toml", '[functions.a.env]\nSUPABASE_URL = "env(T_A)"\n')
    for _ in range(3):
        assert files.declare().functions["a"].environment == {"T_A": "1"}
    assert os.environ["SUPABASE_OF_TEST"] == "project"
    assert "SUPABASE_MORE" not in os.environ
    assert sorted(files.told) == [
        f"{where}: {name} was skipped: names that begin with SUPABASE_ are Supabase's own"
        for where, name in (
            ("functions/.env", "SUPABASE_MORE"),
            ("functions/.env", "SUPABASE_OF_TEST"),
            ("functions/a/.env", "SUPABASE_OF_TEST"),
            ("supabase/config.toml: functions.a.env", "SUPABASE_URL"),
        )
    ]


def test_a_misspelt_setting_is_told_once_and_another_programs_is_not(files: Project) -> None:
    files.write(
        "supabase/config.toml",
        '[functions.a]\nverify_jwt_ = true\nEnabled = false\nimport_map = "deno.json"\ncolour = 1\n'
        '[functions.a.envs]\nT_A = "env(T_B)"\n',
    )
    for _ in range(2):
        assert files.declare().functions["a"].enabled
    assert files.told == [
        f"supabase/config.toml: functions.a.{key} is not a setting and was ignored; write {near}"
        for key, near in (("verify_jwt_", "verify_jwt"), ("Enabled", "enabled"), ("envs", "env"))
    ]


def test_a_value_in_the_config_file_is_told_to_be_moved_and_never_shown(files: Project) -> None:
    files.write("supabase/config.toml", f'[functions.send-email.env]\nT_KEY = "{SECRET}"\n')
    assert files.declare().functions["send-email"].environment == {"T_KEY": SECRET}
    (line,) = files.told
    assert line.startswith("supabase/config.toml: functions.send-email.env: T_KEY is written out, which the")
    assert line.endswith('T_KEY = "env(SEND_EMAIL_T_KEY)"')
    assert SECRET not in line


@pytest.mark.parametrize("name", ["_shared", "1x", ".hidden"])
def test_only_functions_have_files_of_their_own(files: Project, name: str) -> None:
    files.write(f"functions/{name}/.env", "T_A=1\n")
    assert files.declare().functions == {}


def test_only_python_entrypoints_are_ours(files: Project) -> None:
    written = {"a": "./functions/a/index.ts", "b": "./functions/b/main.py", "c": "x.js", "d": ""}
    files.write(
        "supabase/config.toml",
        "\n".join(f'[functions.{name}]\nentrypoint = "{path}"' for name, path in written.items()),
    )
    found = files.declare()
    assert {name: each.entrypoint for name, each in found.functions.items()} == {
        "a": None, "b": "./functions/b/main.py", "c": None, "d": None,
    }  # fmt: skip
    assert found.where == files.folder / "supabase"
    assert files.told == []


def test_a_file_that_cannot_be_read_breaks_its_function_alone(files: Project) -> None:
    files.write("functions/a/.env", "")
    (files.folder / "functions" / "a" / ".env").write_bytes(b"T=\xff\xfe")
    (files.folder / "functions" / "b" / ".env").mkdir(parents=True)
    files.write("functions/c/.env", "T_A=1\n")
    found = files.declare().functions
    assert {name: each.fault for name, each in found.items()} == {
        "a": "functions/a/.env can't be read (it is no UTF-8): make it a readable text", "b": None, "c": None,
    }  # fmt: skip


@pytest.mark.parametrize("path", ["functions/.env", ".env"])
def test_one_that_concerns_all_stops_the_start(files: Project, path: str) -> None:
    (files.folder / path).write_bytes(b"T=\xff\xfe")
    with pytest.raises(OutlastError, match=r"\.env can't be read"):
        files.declare()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[functions", "is not TOML"),
        ("[functions.a]\nenabled = 'perhaps'", "functions.a.enabled=perhaps"),
        ("[functions.a]\nenabled = []", r"functions.a.enabled=\[\]"),
        ("[functions.a]\nentrypoint = 5", "functions.a.entrypoint=5"),
        ("[functions]\na = 5", "functions.a=5"),
        ("functions = 5", "functions=5"),
    ],
)
def test_a_config_file_that_breaks_later_is_one_line(files: Project, text: str, said: str) -> None:
    files.declare()
    files.write("supabase/config.toml", text)
    with pytest.raises(OutlastError, match=said) as refusal:
        files.declare()
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    "table", [f'"{SECRET}"', f'["{SECRET}"]', f'{{ A = ["{SECRET}"] }}', f'{{ A = {{ B = "{SECRET}" }} }}']
)
def test_an_environment_that_is_none_is_refused_unseen(files: Project, table: str) -> None:
    files.write("supabase/config.toml", f"[functions.a]\nenv = {table}\n")
    with pytest.raises(OutlastError, match=r"functions\.a\.env") as refusal:
        Settings.load()
    assert SECRET not in str(refusal.value)


SETTINGS = '[functions.a]\nenabled = "env(T_ON)"\nverify_jwt = "env(T_JWT)"\nentrypoint = "env(T_FILE)"\n'


def test_settings_of_functions_are_looked_up_where_their_variables_are(
    files: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    files.write("supabase/config.toml", SETTINGS)
    files.write("functions/.env", "T_JWT=true\nT_FILE=functions/all.py\n")
    files.write(".env", "T_ON=false\nT_JWT=false\nT_FILE=functions/env.py\n")
    monkeypatch.setenv("T_FILE", "functions/process.py")
    said = (False, True, "functions/process.py")
    at_the_start = Settings.load().functions_config["a"]
    assert (at_the_start.enabled, at_the_start.verify_jwt, at_the_start.entrypoint) == said
    later = files.declare().functions["a"]
    assert (later.enabled, later.verify_jwt, later.entrypoint) == said
    files.write(".env", "T_ON=true\n")
    assert files.declare().functions["a"].enabled


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (
            '[functions.a]\nenabled = "env(T_GONE)"',
            r"functions\.a\.enabled=env\(T_GONE\): .*, or write true or",
        ),
        (
            '[functions.a]\nverify_jwt = "env(T_EMPTY)"',
            r"functions\.a\.verify_jwt=env\(T_EMPTY\): .* true or",
        ),
        (
            '[functions.a]\nentrypoint = "env(T_GONE)"',
            r"functions\.a\.entrypoint=env\(T_GONE\): .* the path$",
        ),
        ('[api]\nexternal_url = "env(T_GONE)"', r"api\.external_url=env\(T_GONE\): .*, or set SUPABASE_URL$"),
    ],
)
def test_a_setting_whose_variable_is_not_set_is_refused(files: Project, line: str, said: str) -> None:
    """The Supabase CLI takes the reference for the value, which is then no word, no file, no address."""
    files.write("supabase/config.toml", "")
    files.declare()
    files.write(".env", "T_EMPTY=\n")
    files.write("supabase/config.toml", line)
    looks = (Settings.load, files.declare) if "functions" in line else (Settings.load,)
    for look in looks:
        with pytest.raises(OutlastError, match=r"^supabase/config\.toml: " + said) as refusal:
            look()
        assert "\n" not in str(refusal.value)


def test_the_project_s_address_is_looked_up_in_the_files_too(files: Project) -> None:
    files.write("supabase/config.toml", '[api]\nexternal_url = "env(T_API)"\n')
    files.write("another", "T_API=https://x.example\n")
    assert Settings.load(env_file="another").supabase_url == "https://x.example"
    files.write("theirs/.env", "T_API=https://y.example\n")
    files.write(".env", "OUTLAST_FUNCTIONS=theirs\n")
    assert Settings.load().supabase_url == "https://y.example"
    files.write(".env", "SUPABASE_URL=https://z.example\n")
    assert Settings.load().supabase_url == "https://z.example", "nothing refers to it, then"


# --- Supabase's names ---------------------------------------------------------------------------------------


def provided(**settings: str) -> dict[str, str]:
    """What functions find of Supabase's names, with these variables set."""
    os.environ.update(settings)
    loaded = Settings.load()
    surroundings = Surroundings(loaded)
    keys = loaded.secret_keys or {"default": "sb_secret_made"}
    surroundings.add_supabase(loaded, "postgresql://me:secret-word-1@db/x", keys, "host-1-abc")
    return {name: value for name, value in os.environ.items() if name.startswith(("SUPABASE_", "SB_"))}


def test_functions_find_what_supabase_gives(files: Project) -> None:
    found = provided(SUPABASE_SECRET_KEY="sb_secret_one", SUPABASE_PUBLISHABLE_KEY="sb_publishable_one")
    assert json.loads(found["SUPABASE_SECRET_KEYS"]) == {"default": "sb_secret_one"}
    assert json.loads(found["SUPABASE_PUBLISHABLE_KEYS"]) == {"default": "sb_publishable_one"}
    assert found["SUPABASE_DB_URL"] == "postgresql://me:secret-word-1@db/x"
    assert (found["SB_EXECUTION_ID"], found["SB_REGION"]) == ("host-1-abc", "local")
    assert redactor.redact("at secret-word-1") == f"at {REDACTED}"


def test_what_is_given_stays_as_it_is(files: Project) -> None:
    given = {
        "SUPABASE_SECRET_KEYS": '{"default":"sb_secret_a", "other":"sb_secret_b"}',
        "SUPABASE_PUBLISHABLE_KEYS": '{"web":"sb_publishable_a"}',
        "SUPABASE_SERVICE_ROLE_KEY": "legacy",
        "SUPABASE_ANON_KEY": "legacy-anon",
        "SUPABASE_JWKS": '{"keys":[]}',
        "SUPABASE_URL": "https://x.supabase.co",
        "SB_REGION": "eu-central-1",
        "SB_EXECUTION_ID": "given",
    }
    found = provided(**given)
    assert {name: found[name] for name in given} == given


def test_a_key_that_was_made_is_given_and_a_legacy_one_is_not_renamed(files: Project) -> None:
    assert json.loads(provided()["SUPABASE_SECRET_KEYS"]) == {"default": "sb_secret_made"}
    del os.environ["SUPABASE_SECRET_KEYS"]
    assert "SUPABASE_SECRET_KEYS" not in provided(SUPABASE_SERVICE_ROLE_KEY="legacy")


# --- the commands -------------------------------------------------------------------------------------------

READS = """\
import os
from outlast import workflow
NEEDED = os.environ["T_NEEDED"]
@workflow
def {name}() -> str:
    return NEEDED
"""


def test_list_tells_of_a_function_that_a_file_disables(outlast: Runs, files: Project) -> None:
    files.write("functions/token.py", "raise SystemExit('imported')")
    files.write("supabase/config.toml", '[functions.token]\nenabled = "env(T_ON)"\n')
    files.write(".env", "T_ON=false\n")
    (row,) = json.loads(outlast("list", "--json").out)["functions"]
    assert row["enabled"] is False
    (files.folder / ".env").unlink()
    ran = outlast("list")
    assert ran.status == 1
    assert "functions.token.enabled=env(T_ON): the variable is not set" in ran.err


def test_list_loads_functions_as_the_host_does(outlast: Runs, files: Project) -> None:
    files.write("functions/a/main.py", READS.format(name="a"))
    files.write("functions/b.py", READS.format(name="b"))
    files.write("functions/c.py", "raise SystemExit('imported')")
    files.write("functions/a/.env", f"T_NEEDED={SECRET}\nSUPABASE_X=1\n")
    files.write(
        "supabase/config.toml",
        '[functions.a]\nentrypoint = "./functions/a/main.py"\n[functions.c]\nenabled = false\n'
        '[functions.theirs]\nentrypoint = "./functions/theirs/index.ts"\n'
        '[functions.gone]\nentrypoint = "./functions/gone/main.py"\n',
    )
    ran = outlast("list", "--json")
    rows = {each["name"]: each for each in json.loads(ran.out)["functions"]}
    assert {name: (row["enabled"], row["serves"]) for name, row in rows.items()} == {
        "a": (True, ["a"]), "b": (True, []), "c": (False, []), "gone": (True, []),
    }  # fmt: skip
    assert "KeyError: 'T_NEEDED'" in rows["b"]["error"]
    assert "there is no file functions/gone/main.py" in rows["gone"]["error"]
    assert rows["c"]["error"] is None
    assert ran.err == (
        "warning: functions/a/.env: SUPABASE_X was skipped: "
        "names that begin with SUPABASE_ are Supabase's own\n"
    )
    standing = {line.split("\t")[0]: line.split("\t")[3] for line in outlast("list").out.splitlines()}
    assert standing == {"a": "served", "b": "broken", "c": "disabled", "gone": "broken"}


def test_list_shows_no_secret_that_an_import_fails_with(outlast: Runs, files: Project) -> None:
    files.write("functions/a.py", "import os\nraise ValueError(os.environ['T_KEY'] + ' is no key')")
    files.write("functions/a/.env", f"T_KEY={SECRET}\n")
    for arguments in (("list",), ("list", "--json")):
        ran = outlast(*arguments)
        assert f"{REDACTED} is no key" in ran.out
        assert SECRET not in ran.out + ran.err


def test_an_error_shows_no_password(outlast: Runs, files: Project) -> None:
    for arguments in (("db", "status", "--json"), ("db", "status", "--debug")):
        ran = outlast(*arguments, SUPABASE_DB_URL=f"postgresql://me:{SECRET}@127.0.0.1:1/x?nonsense={SECRET}")
        assert ran.status == 1
        assert SECRET not in ran.out + ran.err
        ran = outlast(*arguments, SUPABASE_URL=f"ftp://me:{SECRET}@host")
        assert ran.status == 1
        assert SECRET not in ran.out + ran.err


def test_serve_stops_at_a_file_that_nobody_could_read(outlast: Runs, files: Project) -> None:
    (files.folder / "functions" / ".env").write_bytes(b"T=\xff")
    for options in ((), ("--workers", "2")):
        ran = outlast("serve", "--port", "0", *options, SUPABASE_DB_URL="postgresql://me@127.0.0.1:1/x")
        assert ran.status == 1
        assert ran.err.splitlines()[-1] == (
            "error: functions/.env can't be read (it is no UTF-8): make it a readable text"
        )


def test_what_signs_tokens_is_the_hosts_alone(files: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unless the project hands it on by name: whoever has it is anybody."""
    secret = "a-legacy-secret-of-more-than-32-characters"
    symmetric = {"kty": "oct", "k": "c2VjcmV0", "kid": "old"}
    private = {"kty": "EC", "crv": "P-256", "x": "x", "y": "y", "d": "private", "kid": "new"}
    monkeypatch.setenv("SUPABASE_JWT_SECRET", secret)
    monkeypatch.setenv("SUPABASE_JWKS", json.dumps({"keys": [symmetric, private]}))
    files.write("functions/asking/index.py", "")
    files.write("supabase/config.toml", '[functions.asking.env]\nT_SIGNING = "env(SUPABASE_JWT_SECRET)"\n')
    settings = Settings.load()
    assert settings.jwt_secret == secret
    surroundings = Surroundings(settings, files.told.append)
    surroundings.add_supabase(settings, "postgresql://x@y/z", {}, "i")
    found = surroundings.declare()
    assert "SUPABASE_JWT_SECRET" not in os.environ
    assert secret not in str(dict(os.environ))
    public = {"kty": "EC", "crv": "P-256", "x": "x", "y": "y", "kid": "new"}
    assert json.loads(os.environ["SUPABASE_JWKS"]) == {"keys": [public]}
    assert found.functions["asking"].environment == {"T_SIGNING": secret}


def test_nor_do_functions_find_it_where_a_file_says_it(files: Project) -> None:
    secret = "a-legacy-secret-of-more-than-32-characters"
    key_set = json.dumps({"keys": [{"kty": "oct", "k": "c2VjcmV0"}]})
    files.write(".env", f"SUPABASE_JWT_SECRET={secret}\nSUPABASE_JWKS='{key_set}'\nT_OTHER=seen\n")
    settings = Settings.load()
    assert (settings.jwt_secret, settings.jwks) == (secret, json.loads(key_set))
    surroundings = Surroundings(settings, files.told.append)
    surroundings.add_supabase(settings, "postgresql://x@y/z", {}, "i")
    surroundings.declare()
    assert os.environ["T_OTHER"] == "seen"
    assert "SUPABASE_JWT_SECRET" not in os.environ
    assert json.loads(os.environ["SUPABASE_JWKS"]) == {"keys": []}
