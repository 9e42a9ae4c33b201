"""`outlast db wake`: one more migration of the project, never over one that is there."""

from __future__ import annotations

import json
from pathlib import Path

from outlast.store.wake import wake_migration
from tests.cli.conftest import Runs

HOST = "https://outlast.example.com"
FOLDER = Path("supabase/migrations")


def test_it_writes_a_migration_after_all_others(outlast: Runs, project: Path) -> None:
    (project / FOLDER).mkdir(parents=True)
    (project / FOLDER / "29990101000000_theirs.sql").write_text("select 1;")
    ran = outlast("db", "wake", "--url", HOST)
    path = FOLDER / "29990101000001_outlast_wake.sql"
    assert (ran.status, ran.out, ran.err) == (0, f"wrote {path}: apply it with `supabase db push`\n", "")
    assert (project / path).read_text() == wake_migration(HOST, 30)
    again = outlast("db", "wake", "--url", HOST)
    assert (again.status, again.out) == (0, f"{path} is there already\n")


def test_another_url_is_another_migration(call: Runs, project: Path) -> None:
    first = json.loads(call("db", "wake", "--url", HOST, "--json").out)
    second = json.loads(
        call("db", "wake", "--url", "https://other.example.com", "--every", "120", "--json").out
    )
    third = json.loads(
        call("db", "wake", "--url", "https://other.example.com", "--every", "120", "--json").out
    )
    assert [first["written"], second["written"], third["written"]] == [True, True, False]
    assert first["path"] < second["path"] == third["path"]
    assert (project / second["path"]).read_text() == wake_migration("https://other.example.com", 120)
    assert len(list((project / FOLDER).iterdir())) == 2


def test_it_comes_after_the_tables_it_names(call: Runs, project: Path) -> None:
    assert call("db", "migrate", "--into", str(FOLDER)).status == 0
    written = Path(json.loads(call("db", "wake", "--url", HOST, "--json").out)["path"])
    assert sorted((project / FOLDER).iterdir())[-1].name == written.name


def test_a_bad_url_writes_nothing(call: Runs, project: Path) -> None:
    ran = call("db", "wake", "--url", "http://example.com", "--json")
    assert (ran.status, json.loads(ran.out)["error"]["code"]) == (1, "bad_wake_url")
    assert not (project / "supabase").exists()


def test_wrong_usage(call: Runs) -> None:
    assert call("db", "wake").status == 2
    for every in ("0", "3541", "soon"):
        assert call("db", "wake", "--url", HOST, "--every", every).status == 2


def test_a_folder_that_is_none(call: Runs, project: Path) -> None:
    (project / "supabase").write_text("")
    ran = call("db", "wake", "--url", HOST)
    assert ran.status == 1
    assert "can't be written" in ran.err
