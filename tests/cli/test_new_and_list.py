"""Writing a function's file, and listing what a folder holds."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Runs
from tests.cli.stand_in import Reply, StandIn


def test_new_writes_a_function_that_is_served(outlast: Runs, project: Path) -> None:
    ran = outlast("new", "hello")
    assert (ran.status, ran.err) == (0, "")
    assert ran.out.startswith("wrote functions/hello.py\n")
    listed = json.loads(outlast("list", "--json").out)["functions"]
    assert [(each["name"], each["serves"], each["error"]) for each in listed] == [("hello", ["hello"], None)]


@pytest.mark.parametrize("name", ["hello", "send-email", "class", "greet", "step", "workflow", "A_1"])
def test_any_name_makes_a_file_that_is_served_under_it(call: Runs, name: str) -> None:
    assert call("new", name, "--json").status == 0
    listed = json.loads(call("list", "--json").out)["functions"]
    assert [(each["name"], each["serves"], each["error"]) for each in listed] == [(name, [name], None)]


@pytest.mark.slow
def test_what_is_written_passes_the_house_checks(call: Runs, project: Path) -> None:
    call("new", "send-email")
    for check in (
        ["mypy", "--strict"],
        ["ruff", "check", "--isolated"],
        ["ruff", "format", "--check", "--isolated"],
    ):
        done = subprocess.run(
            [sys.executable, "-m", *check, "functions/send-email.py"],
            capture_output=True,
            text=True,
            timeout=55,
        )
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("name", "auth"),
    [
        pytest.param("hello", None, marks=pytest.mark.slow),
        pytest.param("send-email", None, marks=pytest.mark.slow),
        ("class", "user"),
        pytest.param("outlast", None, marks=pytest.mark.slow),
        pytest.param("test_me", None, marks=pytest.mark.slow),
    ],
)
def test_the_test_that_is_written_passes(call: Runs, project: Path, name: str, auth: str | None) -> None:
    written = json.loads(call("new", name, *(("--auth", auth) if auth else ()), "--json").out)["test"]
    assert written == f"functions/_{name}_test.py"
    tested = ["pytest", "-q", "-p", "no:randomly", "-p", "no:schemathesis", "--rootdir", ".", "functions"]
    for check in (
        ["ruff", "check", "--isolated", written],
        ["ruff", "format", "--check", "--isolated", written],
        tested,
        [*tested, "--import-mode=importlib"],
    ):
        done = subprocess.run(
            # -P: the command `pytest` has no folder of its own on its path, `python -m` has.
            [sys.executable, "-P", "-m", *check], capture_output=True, text=True, timeout=55, cwd=project
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        assert check[0] == "ruff" or "2 passed" in done.stdout
    assert [each["name"] for each in json.loads(call("list", "--json").out)["functions"]] == [name]


def test_the_curl_line_calls_it(call: Runs, host: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    host.on("POST", "/functions/v1/hello", Reply(document="hi"))
    line = json.loads(call("new", "hello", "--json").out)["curl"]
    assert shlex.split(line)[0] == "curl"
    assert f"{host.url}/functions/v1/hello" in shlex.split(line)
    assert '"apikey: $SUPABASE_SECRET_KEY"' in line
    monkeypatch.delenv("SUPABASE_SECRET_KEY")
    assert '"apikey: $(cat .outlast/secret_key)"' in json.loads(call("new", "other", "--json").out)["curl"]


AUTH = {
    "none": '@workflow(auth="none")',
    "apikey": '@workflow(auth=["publishable", "secret"])',
    "user": '@workflow(auth="user")',
}
NEW_KEY = r"'Idempotency-Key: [0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}'"


@pytest.mark.parametrize("auth", AUTH)
def test_new_says_in_the_file_who_may_call(call: Runs, project: Path, auth: str) -> None:
    assert call("new", "send-email", "--auth", auth).status == 0
    text = (project / "functions" / "send-email.py").read_text()
    assert f"\n{AUTH[auth]}\nasync def send_email(" in text
    assert ("context().caller.email" in text) == (auth == "user")
    compile(text, "send-email.py", "exec")
    for check in (["ruff", "check", "--isolated"], ["ruff", "format", "--check", "--isolated"]):
        done = subprocess.run(
            [sys.executable, "-m", *check, "functions/send-email.py"],
            capture_output=True,
            text=True,
            timeout=55,
        )
        assert done.returncode == 0, done.stdout + done.stderr
    assert not (project / "supabase").exists(), "what code says needs no config.toml"


def test_new_without_auth_leaves_it_to_the_gateway(call: Runs, project: Path) -> None:
    call("new", "hello")
    assert "\n@workflow\nasync def hello(" in (project / "functions" / "hello.py").read_text()


def test_the_curl_line_bears_what_the_mode_needs(call: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUPABASE_SECRET_KEY", "sb_secret_x")
    lines = {
        auth: json.loads(call("new", auth, "--auth", auth, "--json").out)["curl"]
        for auth in ("none", "apikey", "user")
    }
    assert "apikey" not in lines["none"].replace("/apikey", "")
    assert "Authorization" not in lines["none"]
    assert '-H "apikey: $SUPABASE_PUBLISHABLE_KEY"' in lines["apikey"]
    assert '-H "Authorization: Bearer <token of a signed-in user>"' in lines["user"]
    assert "SECRET" not in "".join(lines.values())
    # Keys of callers without a name of their own are ones that nobody guesses.
    assert re.search(NEW_KEY, lines["none"])
    assert re.search(NEW_KEY, lines["apikey"])
    assert "'Idempotency-Key: first'" in lines["user"]
    assert [shlex.split(line)[0] for line in lines.values()] == ["curl"] * 3


def test_new_refuses_another_auth(call: Runs, project: Path) -> None:
    ran = call("new", "hello", "--auth", "everybody")
    assert ran.status == 2
    assert "'none', 'apikey', 'user'" in ran.err
    assert list(project.iterdir()) == []


@pytest.mark.parametrize("name", ["1x", "_private", "a/b", "..", "a b", "é", ""])
def test_new_refuses_names_that_cannot_be_served(call: Runs, project: Path, name: str) -> None:
    assert call("new", name).status == 2
    assert list(project.iterdir()) == []


def test_new_never_overwrites(call: Runs, project: Path) -> None:
    (project / "functions" / "b").mkdir(parents=True)
    (project / "functions" / "a.py").write_text("mine")
    (project / "functions" / "b" / "index.py").write_text("mine")
    for name, there in (("a", "functions/a.py"), ("b", "functions/b/index.py")):
        ran = call("new", name)
        assert (ran.status, ran.err) == (1, f"error: {there} is there already: choose another name\n")
    assert (project / "functions" / "a.py").read_text() == "mine"
    assert not (project / "functions" / "b.py").exists()


def test_new_in_another_folder(call: Runs, project: Path) -> None:
    assert call("new", "a", "--dir", "elsewhere").status == 0
    assert (project / "elsewhere" / "a.py").is_file()


def test_new_where_nothing_can_be_written(call: Runs, project: Path) -> None:
    (project / "functions").write_text("a file")
    ran = call("new", "a")
    assert ran.status == 1
    assert ran.err.startswith("error: functions/a.py can't be written: ")


def test_list_tells_what_is_broken_and_why(outlast: Runs, project: Path) -> None:
    (project / "functions").mkdir()
    (project / "functions" / "good.py").write_text(
        "from outlast import workflow\nprint('loading')\n@workflow\ndef good() -> int:\n    return 1\n"
    )
    (project / "functions" / "bad.py").write_text("import nix_da\n")
    ran = outlast("list")
    assert ran.status == 0
    bad, good = ([*line.split("\t")] for line in ran.out.splitlines())
    assert (bad[0], bad[1], bad[3]) == ("bad", "functions/bad.py", "broken")
    assert "nix_da" in bad[4]
    assert (good[0], good[3], good[4]) == ("good", "served", "good")
    assert ran.err == "loading\n"


def test_list_of_an_empty_folder_and_of_none(call: Runs, project: Path) -> None:
    ran = call("list")
    assert (ran.status, ran.out, ran.err.count("\n")) == (1, "", 1)
    (project / "functions").mkdir()
    assert json.loads(call("list", "--json").out) == {"functions": []}


def test_list_falls_back_to_supabase_functions(call: Runs, project: Path) -> None:
    call("new", "a", "--dir", "supabase/functions")
    assert [each["path"] for each in json.loads(call("list", "--json").out)["functions"]] == [
        "supabase/functions/a.py"
    ]


def test_list_tells_which_file_has_which_version(call: Runs, project: Path) -> None:
    (project / "functions").mkdir()
    declared = "@workflow(version={}, aliases=['buy'])"
    code = f"from outlast import workflow\n{declared}\ndef pay() -> int:\n    return 1\n"
    for file, version in (("pay", 2), ("pay_v1", 1)):
        (project / "functions" / f"{file}.py").write_text(code.format(version))
    new, old = json.loads(call("list", "--json").out)["functions"]
    assert (new["serves"], new["versions"], new["aliases"]) == (["pay"], {"pay": [2]}, ["buy"])
    assert (old["serves"], old["versions"], old["error"]) == ([], {"pay": [1]}, None)
    lines = [line.split("\t")[4] for line in call("list").out.splitlines()]
    assert lines == ["pay (version 2), buy (former name)", "pay (version 1), buy (former name)"]
