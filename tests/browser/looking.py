"""A headless Chromium that looks at pages: code of `look.mjs`' kind is run by it from here."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

from tests.hosts import LIMIT_S

HERE = Path(__file__).parent
INSTALLED = HERE.parents[1] / "build" / "browser"
MISSING = "SKIPPED LOUDLY: no Chromium, Node or playwright-core here (tests/browser/setup gets them)"

SIGN_IN = """async ({ page }, { url, key }) => {
  await page.goto(url + '/dashboard/login')
  await page.getByLabel(/secret key/i).fill(key)
  await page.getByRole('button', { name: 'Sign in' }).click()
  await page.waitForURL(url + '/dashboard')
}"""


class Look:
    """One browser. Raises AssertionError for what its code throws."""

    def __init__(self, node: str, chromium: str) -> None:
        self._node = subprocess.Popen(
            [node, "--no-warnings", str(HERE / "look.mjs"), str(INSTALLED), chromium],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    @classmethod
    def found(cls) -> Look | None:
        """A browser; None where there is none."""
        node, chromium = shutil.which("node"), shutil.which("chromium")
        there = (INSTALLED / "node_modules" / "axe-core").exists()
        return cls(node, chromium) if node and chromium and there else None

    def run(self, code: str, **given: Any) -> Any:
        """What `async (look, given) => …` gives."""
        assert self._node.stdin is not None
        assert self._node.stdout is not None
        self._node.stdin.write(json.dumps({"code": code, "with": given}) + "\n")
        self._node.stdin.flush()
        line = self._node.stdout.readline()
        assert line, "the browser has gone"
        told = json.loads(line)
        assert "thrown" not in told, told["thrown"]
        return told["answer"]

    def fresh(self, **options: Any) -> None:
        """A new profile with playwright's options of a context, as if nobody had been here."""
        self.run("(look, options) => look.fresh(options)", **options)

    def sign_in(self, url: str, key: str) -> None:
        """By the page for it."""
        self.run(SIGN_IN, url=url, key=key)

    def visit(self, url: str) -> int:
        """Go to a page and wait until it is loaded; its status."""
        code = "async ({ page }, { url }) => (await page.goto(url, { waitUntil: 'load' })).status()"
        status: int = self.run(code, url=url)
        return status

    def complaints(self) -> list[str]:
        """What pages complained of since it was asked last: errors, violations of the policy, dialogs."""
        told: list[str] = self.run("(look) => look.complaints()")
        return told

    def axe(self) -> list[str]:
        """What axe-core finds in this page."""
        found: list[str] = self.run("(look) => look.axe()")
        return found

    def close(self) -> None:
        """End it."""
        with self._node:
            try:
                self._node.communicate(timeout=LIMIT_S)
            except subprocess.TimeoutExpired:
                self._node.kill()
