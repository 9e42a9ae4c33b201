"""The command as a whole: help, version, exit statuses, and ends of all kinds."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import click
import pytest

from outlast.cli.main import outlast as top
from tests.cli.conftest import SECRET, Runs, workflow
from tests.cli.stand_in import Reply, StandIn

HEAVY = ("httpx", "pydantic_settings", "psycopg", "starlette", "uvicorn", "supabase", "watchfiles")


def test_help_and_version(outlast_anew: Runs) -> None:
    ran = outlast_anew("--help")
    assert ran.status == 0
    for command in ("serve", "new", "list", "invoke", "workflows", "db", "completion"):
        assert f"\n  {command} " in ran.out
    assert outlast_anew("--version").out == f"outlast {version('outlast')}\n"


def test_help_loads_neither_server_nor_driver(project: Path) -> None:
    program = (
        "import sys; from outlast.cli.main import main; main(['workflows', 'list', '--help']);"
        f"print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=45)
    assert (done.returncode, done.stderr) == (0, "[]\n")


def test_every_command_has_help_and_takes_debug() -> None:
    for name, command in top.all_commands(click.Context(top)).items():
        for each in getattr(command, "commands", {name: command}).values():
            assert each.help, each.name
            assert "debug" in {parameter.name for parameter in each.params}, each.name


def test_the_script_is_the_same_command(project: Path) -> None:
    script = Path(sys.executable).with_name("outlast")
    done = subprocess.run([script, "--version"], capture_output=True, text=True, timeout=45)
    assert done.stdout == f"outlast {version('outlast')}\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ["nope"],
            "The commands are serve, new, list, invoke, workflows, errors, queues, schedules,",
        ),
        (["invok"], "No such command 'invok'. Did you mean 'invoke'?"),
        (["workflows", "nope"], "No such command 'nope'. The commands are list, show,"),
        (["workflows", "cancle"], "Did you mean 'cancel'?"),
        (["--url", "http://x", "invoke", "hello"], "--url stands after the command"),
        (["workflows", "--status", "ERROR", "list"], "--status stands after the command"),
        (["--debug", "--nix"], "No such option '--nix'"),
        (["list", "--nix"], "No such option"),
        (["workflows", "show"], "Missing argument 'ID'"),
        (["serve", "--port", "banana"], "--port"),
    ],
)
def test_wrong_usage(call: Runs, arguments: list[str], said: str) -> None:
    ran = call(*arguments)
    assert (ran.status, ran.out) == (2, "")
    assert ran.err.startswith("error: ")
    assert said in ran.err
    assert "--help`" in ran.err
    assert ran.err.count("\n") == 1
    ran = call(*arguments, "--json")
    assert ran.status == 2
    assert json.loads(ran.out)["error"]["code"] == "usage"


def test_json_after_two_dashes_is_no_flag(call: Runs) -> None:
    assert call("invoke", "--", "--json").out == ""


def test_no_command_shows_help_as_wrong_usage(call: Runs) -> None:
    ran = call()
    assert (ran.status, ran.out) == (2, "")
    assert "Commands:" in ran.err


def test_a_bad_setting_is_one_line(outlast_anew: Runs) -> None:
    ran = outlast_anew("list", "--json", OUTLAST_TICK_S="banana")
    message = "OUTLAST_TICK_S=banana: set a number from 0.01 to 60"
    assert (ran.status, ran.err) == (1, f"error: {message}\n")
    assert json.loads(ran.out) == {"error": {"code": "bad_setting", "message": message}}


def test_an_unknown_setting_is_one_warning(call: Runs, project: Path) -> None:
    (project / "functions").mkdir()
    ran = call("list", OUTLAST_FUNCTION="x")
    assert ran.status == 0
    assert ran.err == (
        "warning: OUTLAST_FUNCTION is not a setting and was ignored; the closest one is OUTLAST_FUNCTIONS\n"
    )


def test_tracebacks_are_for_who_asks(call: Runs) -> None:
    assert "Traceback" not in call("list", PORT="x").err
    assert "Traceback" in call("list", "--debug", PORT="x").err
    assert "Traceback" in call("--debug", "list", PORT="x").err
    assert "Traceback" in call("workflows", "--debug", "list", PORT="x").err


def test_a_functions_folder_that_is_absent_is_told_before_anything_is_made(
    outlast_anew: Runs, project: Path
) -> None:
    ran = outlast_anew("serve", "--port", "0")
    assert (ran.status, ran.out) == (1, "")
    assert ran.err.startswith(
        f"error: the functions folder {project / 'functions'} can't be read (No such file"
    )
    assert ran.err.count("\n") == 1
    assert list(project.iterdir()) == []


def test_a_fault_of_ours_is_one_line_too(call: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(**options: object) -> None:
        raise ZeroDivisionError("a\nb")

    monkeypatch.setattr("outlast.cli.listing.read_settings", fail)
    ran = call("list", "--json")
    assert ran.status == 1
    assert ran.err == "error: ZeroDivisionError: a b (a fault of outlast; --debug shows where)\n"
    assert json.loads(ran.out)["error"]["code"] == "internal_error"


def test_a_reader_that_has_seen_enough_is_no_error(host: StandIn, project: Path) -> None:
    rows = [workflow(f"hello:{number}") for number in range(50)]
    host.on("GET", "/workflows/v1", Reply(document={"workflows": rows}))
    read_end, write_end = os.pipe()
    os.close(read_end)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "outlast", "workflows", "list", "--limit", "50"],
            cwd=project,
            stdout=write_end,
            stderr=subprocess.PIPE,
            timeout=45,
        )
    finally:
        os.close(write_end)
    assert (done.returncode, done.stderr) == (0, b"")


def test_output_that_the_terminal_cannot_show_is_escaped(outlast_anew: Runs, host: StandIn) -> None:
    host.on("GET", "/workflows/v1", Reply(document={"workflows": [workflow("hello:日")]}))
    ran = outlast_anew("workflows", "list", PYTHONIOENCODING="latin-1")
    assert ran.out.startswith("hello:\\u65e5\t")


@pytest.mark.parametrize("name", ["", ".", ".."])
@pytest.mark.parametrize("command", ["workflows show", "workflows wait", "queues pause", "bulks show"])
def test_what_no_address_can_end_with_is_refused(call: Runs, host: StandIn, command: str, name: str) -> None:
    ran = call(*command.split(), name)
    assert (ran.status, ran.out) == (2, "")
    assert f"{name!r} is no {command.split()[0][:-1]}" in ran.err
    assert host.seen == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no full device")
def test_output_that_can_not_be_written_is_no_fault_of_ours(project: Path, host: StandIn) -> None:
    host.on("GET", "/workflows/v1", Reply(document={"workflows": [workflow("hello:1")]}))
    command = f"{shlex.quote(sys.executable)} -m outlast workflows list --url {host.url}"
    for output, told in (
        (">/dev/full", "standard output can't be written"),
        (">/dev/full --json", "standard output can't be written"),
        (">&- --json", ""),
        ("--status no 2>&-", ""),
        ("--status no --json >/dev/full 2>/dev/full", ""),
    ):
        done = subprocess.run(
            ["sh", "-c", f"{command} {output}"], cwd=project, capture_output=True, text=True, timeout=60,
            env=os.environ | {"SUPABASE_SECRET_KEY": SECRET},
        )  # fmt: skip
        assert told in done.stderr
        assert "Traceback" not in done.stderr
        assert "fault of outlast" not in done.stderr


def test_an_argument_that_is_no_utf_8_is_refused(call: Runs, host: StandIn) -> None:
    odd = os.fsdecode(b"a\xff")
    for command in (
        ("invoke", "hello", "--data", f'"{odd}"'),
        ("invoke", f"hello/{odd}"),
        ("workflows", "show", odd),
        ("workflows", "list", "--function", odd),
        ("queues", "show", odd),
        ("queues", "pause", "mail", "--why", odd),
        ("workflows", "send", "id", "--topic", odd, "--data", "1"),
        ("workflows", "cancel", "--function", odd, "--dry-run"),
    ):
        ran = call(*command, "--json")
        assert (ran.status, json.loads(ran.out)["error"]["code"]) == (2, "usage"), ran.err
        assert r"a\udcff" in ran.err
        assert "is no text in UTF-8" in ran.err
    assert host.seen == []


def test_closed_standard_input_holds_nothing(project: Path) -> None:
    command = f"{shlex.quote(sys.executable)} -m outlast invoke hello --data - <&-"
    done = subprocess.run(["sh", "-c", command], cwd=project, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "this is not JSON" in done.stderr


@pytest.mark.parametrize("name", ["xn--a", "a" * 64, "a..b"], ids=len)
def test_a_url_whose_host_can_be_none_is_refused(call: Runs, name: str) -> None:
    ran = call("workflows", "list", "--url", f"http://{name}")
    assert ran.status == 2
    assert "set an http or https URL" in ran.err


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_the_script(call: Runs, shell: str) -> None:
    for ran in (call("completion", shell), call("completion", SHELL=f"/usr/bin/{shell}")):
        assert ran.status == 0
        assert "_OUTLAST_COMPLETE" in ran.out


def test_completion_of_an_unknown_shell(call: Runs) -> None:
    assert call("completion", SHELL="/bin/nix").status == 2


def test_shells_complete_commands_and_functions(outlast: Runs, project: Path) -> None:
    (project / "functions" / "folder").mkdir(parents=True)
    for name in ("hello.py", "_shared.py", "folder/index.py"):
        (project / "functions" / name).touch()
    completing = {"_OUTLAST_COMPLETE": "bash_complete", "COMP_CWORD": "1"}
    assert "plain,invoke" in outlast(**completing, COMP_WORDS="outlast inv").out.splitlines()
    completing["COMP_CWORD"] = "2"
    found = outlast(**completing, COMP_WORDS="outlast invoke ").out.splitlines()
    assert found == ["plain,folder", "plain,hello"]


@pytest.mark.parametrize("command", ["show", "steps", "cancel"])
def test_shells_complete_the_ids_of_workflows(outlast: Runs, host: StandIn, command: str) -> None:
    rows = [workflow("hello:1"), workflow("hello:2", "PENDING"), workflow("other:3")]
    host.on("GET", "/workflows/v1", Reply(document={"workflows": rows}))
    completing = {"_OUTLAST_COMPLETE": "bash_complete", "COMP_CWORD": "3"}
    found = outlast(**completing, COMP_WORDS=f"outlast workflows {command} hello:")
    assert found.out.splitlines() == ["plain,hello:1", "plain,hello:2"]


def test_a_prompt_stays_clean_where_no_host_answers(outlast: Runs) -> None:
    completing = {"_OUTLAST_COMPLETE": "bash_complete", "COMP_CWORD": "3"}
    found = outlast(**completing, COMP_WORDS="outlast workflows show x", OUTLAST_URL="http://127.0.0.1:1")
    assert (found.out.strip(), found.err) == ("", "")
