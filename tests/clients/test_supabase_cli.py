"""The Supabase CLI reads the same `supabase/config.toml`: what we document there it takes, too.

It is a binary of 140 MB, which the tests don't install: they use the one on the path, or the one that
SUPABASE_CLI names.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from outlast.host.config_toml import read_functions

CLI = os.environ.get("SUPABASE_CLI") or shutil.which("supabase")
DOCS = Path(__file__).parents[2] / "docs" / "configuration.md"

pytestmark = pytest.mark.skipif(CLI is None, reason="no Supabase CLI here (SUPABASE_CLI)")


def made(folder: Path, config: str) -> subprocess.CompletedProcess[str]:
    """Make a function with the CLI, which reads the config for it, and needs no stack."""
    (folder / "supabase").mkdir(exist_ok=True)
    (folder / "supabase" / "config.toml").write_text(config)
    return subprocess.run(
        [str(CLI), "functions", "new", "theirs", "--auth", "user"],
        cwd=folder,
        env={**os.environ, "HOME": str(folder), "SUPABASE_TELEMETRY_DISABLED": "1", "DO_NOT_TRACK": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_what_we_document_is_valid_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (documented,) = re.findall(r"```toml\n(.*?)```", DOCS.read_text("utf-8"), re.DOTALL)
    done = made(tmp_path, documented)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "supabase" / "functions" / "theirs" / "index.ts").is_file()
    monkeypatch.chdir(tmp_path)
    found = read_functions()
    assert found["checkout"].entrypoint == "./functions/checkout/main.py"
    assert found["checkout"].verify_jwt is False
    assert found["checkout"].env == {"PAYMENTS_KEY": "env(CHECKOUT_PAYMENTS_KEY)"}
    assert (found["report"].enabled, found["report"].verify_jwt) == (False, None)
    # What it wrote itself is left alone: a TypeScript function is none of ours.
    assert found["theirs"].entrypoint == "./functions/theirs/index.ts"


def test_why_we_tell_to_write_no_value(tmp_path: Path) -> None:
    """Were this to change, the warning could go."""
    done = made(tmp_path, '[functions.checkout.env]\nPAYMENTS_KEY = "written out"\n')
    assert done.returncode != 0
    assert "PAYMENTS_KEY" in done.stdout + done.stderr
