"""docs/testing.md: its function and its test run as printed, and the report says what the page shows."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]
pytestmark = pytest.mark.timeout(240)  # each starts a pytest of its own, some of them workers

PAGE = (Path(__file__).parents[2] / "docs" / "testing.md").read_text("utf-8")
FILES = dict(re.findall(r"```python\n# (functions/\S+)\n(.*?)```", PAGE, re.DOTALL))


@pytest.mark.slow
def test_the_example_passes(pytester: pytest.Pytester) -> None:
    for name, text in FILES.items():
        file = pytester.path / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
    report = "\ndef test_report(outlast):\n    outlast.stub(reserve, returns=True)\n"
    report += "    print(outlast.crash_everywhere(orders, sku='w', quantity=2))\n"
    with (pytester.path / "functions" / "_orders_test.py").open("a") as test:
        test.write(report)
    options = ("-p", "no:schemathesis", "-p", "no:randomly", "-s", "functions")
    result = pytester.runpytest_subprocess(*options, timeout=200)
    assert result.parseoutcomes() == {"passed": 7}
    printed = PAGE.partition("```text\n")[2].partition("```")[0]
    figures = re.compile(r"\d+")
    said = "\n".join(result.outlines).replace(f"{pytester.path}/", "")
    for line in printed.splitlines():
        words = [re.escape(each) for each in figures.split(line.strip())]
        assert re.search(r"\d+".join(words), said), line


def test_the_page_names_what_the_fixture_has() -> None:
    from outlast.testing import Answer, Outlast, Run

    for kind, named in (
        (Outlast, PAGE.partition("## What the fixture does")[2]),
        (Run, PAGE),
        (Answer, PAGE),
    ):
        for name in vars(kind):
            if not name.startswith("_") and name not in ("close", "workflow_id", "started_at"):
                assert re.search(rf"\b{name}\b", named), name
