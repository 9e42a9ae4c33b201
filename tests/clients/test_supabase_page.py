"""docs/supabase.md, as printed: its SQL, its function, its call, with a project on loopback.

A stand-in takes the place of what nobody can have here: Supabase Auth, which would have given the session.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.hosts import SECRET, Hosts
from tests.tokens import project

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "supabase.md").read_text("utf-8")
INSTALLED = ROOT / "build" / "clients"
NODE = shutil.which("node")
ADA = "7d0c8b62-0a48-4a4e-9b7e-2a8f0d0e6c11"
PUBLISHABLE = "sb_publishable_of_the_tests_0123456789"
SESSION = "const { data: { session } } = await supabase.auth.getSession()\n"


def block(kind: str, begin: str = "") -> str:
    """The first of its kind that begins so."""
    blocks = re.findall(rf"^```{kind}\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    return next(each for each in blocks if each.startswith(begin))


def environment(url: str) -> str:
    """The page's `.env` with a project that is there. The database and the secret key come as variables."""
    text = block("sh", "# .env").replace("https://REF.supabase.co", url)
    text = re.sub(r"SUPABASE_PUBLISHABLE_KEY=.*", f"SUPABASE_PUBLISHABLE_KEY={PUBLISHABLE}", text)
    assert "SUPABASE_DB_URL=" in text
    return text


def called(folder: Path, url: str, token: str) -> dict[str, Any]:
    """What the page's JavaScript gets."""
    script = block("js")
    assert SESSION in script
    script = script.replace(SESSION, "const session = { access_token: TOKEN }\n")
    script = re.sub(r"createClient\((.*?)\)", r"createClient(\1, { realtime: { transport: ws } })", script)
    given = {"SUPABASE_URL": url, "HOST": url, "PUBLISHABLE_KEY": PUBLISHABLE, "TOKEN": token}
    lines = [f"const {name} = {json.dumps(value)}" for name, value in given.items()]
    imports, _, rest = script.partition("\n\n")
    path = folder / "call.mjs"
    printed = "console.log(JSON.stringify({ data, error: error && String(error) }))"
    path.write_text("\n".join([imports, "import ws from 'ws'", *lines, rest, printed]))
    (folder / "node_modules").symlink_to(INSTALLED / "node_modules")
    done = subprocess.run(
        [str(NODE), "--no-warnings", str(path)], cwd=folder, capture_output=True, text=True, timeout=50
    )
    (folder / "node_modules").unlink()
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.skipif(NODE is None, reason="SKIPPED LOUDLY: there is no Node here")
@pytest.mark.skipif(
    not (INSTALLED / "installed.json").exists(), reason="SKIPPED LOUDLY: tests/clients/setup was not run"
)
def test_the_page_as_printed(tmp_path: Path, supabase_database: str) -> None:
    functions = tmp_path / "functions"
    functions.mkdir()
    (functions / "notes.py").write_text(block("python"))
    with psycopg.connect(supabase_database, autocommit=True) as connection:
        connection.execute(block("sql").encode())
        with project() as signer:
            hosts = Hosts(tmp_path, functions, supabase_database)
            try:
                (tmp_path / ".env").write_text(environment(signer.url))
                host = hosts.start()
                for _ in range(2):
                    answer = called(tmp_path, host.url, signer.token(ADA, email="ada@example.com"))
                    assert answer == {"data": {"note": 1, "told": "note 1 of ada@example.com"}, "error": None}
                steps = host.manage("GET", f"notes:{ADA}:note-1/steps").json()["steps"]
                assert [each["name"] for each in steps] == ["write", "tell"]
            finally:
                hosts.close()
        assert connection.execute("select owner::text, text from notes").fetchall() == [(ADA, "buy milk")]
    assert SECRET not in PAGE


def test_its_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([a-z]+\.md)", PAGE):
        assert (ROOT / "docs" / target).exists(), target
