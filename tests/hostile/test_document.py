"""What `/openapi.json` says holds: schemathesis calls every operation, well and badly, at a real host.

`st` runs as a process of its own: its plugin for pytest would turn all its warnings into failures of ours.
"""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outlast.core.errors import InvalidKey
from outlast.core.names import parse_key
from outlast.web.openapi.shared import PARAMETERS
from tests.hostile.hosts import Target, serve
from tests.hosts import SECRET

HERE = Path(__file__).parent
SCHEMATHESIS = Path(sys.executable).with_name("st")
CONFIG = """
hooks = "tests.hostile.checks"
continue-on-failure = true
warnings = false

[auth.openapi]
apikey = {{ api_key = "{secret}" }}

[checks]
not_a_server_error.enabled = false        # checks.py has both, narrower
positive_data_acceptance.enabled = false
negative_data_rejection.enabled = false
"""
MEANT = (
    "the dashboard is at ",
    "serving functions of", "callers are not asked", "broken can't be served", "loaded ",
    "failed: ZeroDivisionError", "claimed ", "connected to the database", "refused ", "managed ",
    "not told one by one",  # of calls that take longer than a minute together
    "the event loop ",  # of a process that gets no processor for a while
)  # fmt: skip
"""All that the host may log meanwhile."""


@pytest.fixture(scope="module")
def target(postgres: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    """A host that serves every kind of function; one of its files is broken."""
    with serve(
        postgres, tmp_path_factory.mktemp("document"), HERE / "served", log_format="json", openapi="public"
    ) as target:
        yield target


def tortured(target: Target, folder: Path, seed: int, *options: str, limit_s: float) -> int:
    """Let schemathesis loose on a host; how many cases it made. Whatever it found fails the test."""
    config = folder / "schemathesis.toml"
    config.write_text(CONFIG.format(secret=SECRET))
    command = [str(SCHEMATHESIS), "--config-file", str(config), "run", f"{target.url}/openapi.json"]
    command += ["--seed", str(seed), *options]
    env = {**os.environ, "PYTHONPATH": str(HERE.parents[1]), "NO_COLOR": "1"}
    ran = subprocess.run(command, cwd=folder, env=env, capture_output=True, timeout=limit_s)
    text = ran.stdout.decode("utf-8", "replace") + ran.stderr.decode("utf-8", "replace")
    assert ran.returncode == 0, text
    found = re.search(r"([0-9,]+) generated", text)
    assert found is not None, text
    assert not unmeant(target), text
    return int(found[1].replace(",", ""))


def unmeant(target: Target) -> list[str]:
    """What the host logged beyond what it means to."""
    messages = [json.loads(line)["message"] for line in target.said().splitlines()]
    return [each for each in messages if not any(meant in each for meant in MEANT)]


@given(
    st.from_regex(PARAMETERS["Idempotency-Key"]["schema"]["pattern"])
    | st.text(st.characters(max_codepoint=300), max_size=20)
    | st.text('a"\\\\ ,;', max_size=8)
)
def test_the_documented_grammar_of_keys_is_the_one_that_is_read(text: str) -> None:
    documented = re.search(PARAMETERS["Idempotency-Key"]["schema"]["pattern"].replace("$", r"\Z"), text)
    try:
        parse_key([text])
        taken = True
    except InvalidKey:
        taken = False
    assert taken == (documented is not None) or text != text.strip(" \t")  # a header's spaces don't count


@pytest.mark.slow
@pytest.mark.timeout(200)  # a quarter of a minute on a machine with nothing else to do
def test_every_operation_answers_as_documented(target: Target, tmp_path: Path) -> None:
    made = tortured(
        target, tmp_path, 1, "--phases", "examples,coverage,fuzzing", "-n", "5", "--no-shrink", limit_s=180
    )
    assert made > 1000
    assert target.call("orders/search", {"text": "x"}).json() == ["x"]


@pytest.mark.long
@pytest.mark.timeout(700)
def test_every_operation_answers_as_documented_at_length(target: Target, tmp_path: Path) -> None:
    seed = random.SystemRandom().randrange(2**32)
    print(f"schemathesis --seed {seed}")  # noqa: T201 - captured
    made = tortured(target, tmp_path, seed, "-n", "200", "--workers", "2", limit_s=690)
    assert made > 10_000
