"""docs/attributes.md and docs/bulk.md: what they print is run, and does what they say."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.cli.conftest import SECRET
from tests.cli.serving import serving
from tests.hosts import until
from tests.pages import needs_curl

pytestmark = needs_curl

DOCS = Path(__file__).parents[2] / "docs"
WAIT_S = 60.0


def blocks(page: str, kind: str) -> list[str]:
    text = (DOCS / f"{page}.md").read_text("utf-8")
    return re.findall(rf"^```{kind}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def shell(text: str, url: str, project: Path) -> list[str]:
    """The lines that the commands of a block print."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | {
        "PATH": path,
        "URL": url,
        "OUTLAST_URL": url,
        "KEY": SECRET,
        "SUPABASE_SECRET_KEY": SECRET,
    }
    # Each line of curl ends in a line of its own.
    done = subprocess.run(
        ["bash", "-ec", 'curl() { command curl "$@"; echo; }\n' + text],
        env=environment, cwd=project, capture_output=True, text=True, timeout=WAIT_S,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def rows(database_url: str, *queries: str) -> list[Any]:
    """What the last of some statements returns."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        found: list[Any] = []
        for query in queries:
            cursor = connection.execute(query.encode())
            found = cursor.fetchall() if cursor.description else []
        return found


@pytest.fixture
def database_url(database: str, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("SUPABASE_DB_URL", database)
    return database


def test_attributes(project: Path, database_url: str) -> None:
    (project / "functions").mkdir()
    (python,) = blocks("attributes", "python")
    (project / "functions" / "order.py").write_text(python)
    with serving(project, SUPABASE_SECRET_KEY=SECRET) as (url, _):
        (commands,) = blocks("attributes", "sh")
        said = shell(commands, url, project)
        assert said[0] == '"shipped w"'
        (found,) = json.loads(said[1])["workflows"]
        whole = {"stage": "done", "sku": "w", "customer": "42", "vip": True}
        assert (found["workflow_id"], found["attributes"]) == ("order:1", whole)
        assert json.loads(said[2]) == {"changed": "order:1"}
        assert said[3].startswith("order:1\t")
        left = "select attributes from outlast.workflow_status where workflow_id = 'order:1'"
        assert rows(database_url, left) == [({"sku": "w", "customer": "42", "vip": True},)]
        (statements,) = blocks("attributes", "sql")
        first, second, third = statements.strip().split(";\n")
        assert rows(database_url, first, second) == [("order:2",)]
        done = "select attributes ->> 'stage' from outlast.workflow_status where workflow_id = 'order:2'"
        until(lambda: rows(database_url, done) == [("done",)], "it ends")
        assert rows(database_url, third.rstrip(";")) == [("order:2",)]


@pytest.mark.slow
def test_many_at_once(project: Path, database_url: str) -> None:
    (project / "functions").mkdir()
    rows(
        database_url,
        "insert into outlast.workflow_status (workflow_id, function, status, created_at) select"
        " 'report:' || n, 'report', 'PENDING', now() - interval '1 hour' from generate_series(1, 40) n",
    )
    commands, calls = blocks("bulk", "sh")
    with serving(project, SUPABASE_SECRET_KEY=SECRET) as (url, _):
        said = shell(commands, url, project)
        assert [each.split("\t")[2] for each in said[:10]] == ["done"] * 10
        printed = re.findall(r"# (\{.*\})", commands)
        assert said[-1:] == printed
        assert said[10].split("\t")[1] == "cancel"
        begun, listed = (json.loads(each) for each in shell(calls, url, project))
        assert begun["count"] == 40
        assert [each["verb"] for each in listed["bulks"]] == ["set", "cancel"]
        first, second = blocks("bulk", "sql")[0].strip().split(";\n")
        assert rows(database_url, first)[0][1] == 40
        assert rows(database_url, second.rstrip(";"))[0][0] == 0
