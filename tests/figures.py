"""The measured part of docs/reliability.md: each proof writes its own section, between two marks."""

from __future__ import annotations

import re
from pathlib import Path

PAGE = Path(__file__).parents[1] / "docs" / "reliability.md"


def publish(section: str, markdown: str) -> None:
    """Put `markdown` into the page's section of that name. Raises ValueError if there is none."""
    marks = f"<!-- begin {section} -->", f"<!-- end {section} -->"
    pattern = re.compile(f"{re.escape(marks[0])}.*?{re.escape(marks[1])}", re.DOTALL)
    text = PAGE.read_text("utf-8")
    if not pattern.search(text):
        raise ValueError(f"{PAGE.name} has no section {section!r}")
    PAGE.write_text(pattern.sub(lambda _: f"{marks[0]}\n{markdown.strip()}\n{marks[1]}", text), "utf-8")
