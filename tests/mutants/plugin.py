"""What pytest is told in a run on a mutant: which package must be in force, which Postgres to use, where to
write down what happened."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

import outlast
from tests.databases import make_templates

PACKAGE = "MUTANTS_PACKAGE"
POSTGRES = "MUTANTS_POSTGRES"
REPORT = "MUTANTS_REPORT"


def pytest_configure() -> None:
    """Refuse to prove anything about another package than the mutated one."""
    found, wanted = Path(outlast.__file__).parent, Path(os.environ[PACKAGE])
    if found != wanted:
        raise pytest.UsageError(f"{found} is imported, not {wanted}")


@pytest.hookimpl(tryfirst=True)
def pytest_fixture_setup(fixturedef: Any, request: Any) -> str | None:
    """All runs share one Postgres, with a template for each version of the migrations."""
    if fixturedef.argname != "postgres":
        return None
    url = os.environ[POSTGRES]
    make_templates(url)
    fixturedef.cached_result = (url, fixturedef.cache_key(request), None)
    return url


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """One line for each phase of each test."""
    _write(report.nodeid, report.when, report.outcome, report.longreprtext)


def pytest_collectreport(report: pytest.CollectReport) -> None:
    """And for each file that can't be collected."""
    if report.failed:
        _write(report.nodeid, "collect", "failed", report.longreprtext)


def _write(test: str, phase: str, outcome: str, text: str) -> None:
    line = {"test": test, "phase": phase, "outcome": outcome, "text": text}
    with Path(os.environ[REPORT]).open("a", encoding="utf-8") as report:
        report.write(json.dumps(line) + "\n")
