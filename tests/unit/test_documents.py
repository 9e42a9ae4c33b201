"""What the documents say is what the code says."""

from __future__ import annotations

import re
from pathlib import Path

from outlast.core.status import TRANSITIONS
from outlast.host.settings import Settings

ROOT = Path(__file__).parents[2]
UNDOCUMENTED = {"OUTLAST_CRASH_AT"}
"""For the tests alone."""


def test_every_setting_is_documented_and_every_documented_one_exists() -> None:
    text = (ROOT / "docs" / "configuration.md").read_text()
    documented = set(re.findall(r"^\| `([A-Z_]+)` \|", text, re.MULTILINE))
    names = {str(field.validation_alias) for field in Settings.model_fields.values()}
    ours = {name for name in names if name.startswith("OUTLAST_")} - UNDOCUMENTED
    assert {name for name in documented if name.startswith("OUTLAST_")} == ours
    assert documented - ours <= names


def test_the_diagram_of_statuses_is_drawn_from_the_table() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text()
    drawn = re.search(r"stateDiagram-v2\n(.*?)```", text, re.DOTALL)
    assert drawn is not None
    arrows = [
        f"    {before or '[*]'} --> {after or '[*]'}: {change}"
        for (before, change), after in TRANSITIONS.items()
    ]
    assert drawn[1].rstrip().splitlines() == arrows


def test_links_in_documents_lead_somewhere() -> None:
    for document in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]:
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", document.read_text()):
            assert (document.parent / target).exists(), f"{document.name} links to {target}"
