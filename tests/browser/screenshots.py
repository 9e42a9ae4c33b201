"""Pictures of each view for the docs: a real Chromium, a real host, and a day that it has had.

`make screenshots` writes them into docs/images; `python -m tests.browser.screenshots FOLDER` elsewhere.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from urllib.parse import quote

from outlast.host.embedded import EmbeddedPostgres
from tests.browser.looking import MISSING, Look
from tests.browser.shop import Shop, fill
from tests.databases import make_templates, new_database
from tests.hosts import SECRET

IMAGES = Path(__file__).parents[2] / "docs" / "images"
RUN = quote("shop:A-1047", safe="")
VIEWS = {
    "login": "/login",
    "runs": "",
    "run": f"/workflows/{RUN}",
    "errors": "/errors",
    "queues": "/queues",
    "queue": "/queues/mail",
    "schedules": "/schedules",
    "functions": "/functions",
    "function": "/functions/shop",
    "instances": "/instances",
    "held": "/held",
    "acts": "/acts",
    "bulks": "/bulks",
    "bulk": "/bulks/BULK",
    "verb": f"/workflows/{RUN}/do/fork",
}
SHOOT = """async ({ page }, { url, path, quality }) => {
  await page.goto(url, { waitUntil: 'networkidle' })
  await page.screenshot({ path, type: 'png', animations: 'disabled' })
}"""


def main(folder: Path) -> int:
    """Make all of them; how many failed."""
    look = Look.found()
    if look is None:
        sys.stderr.write(f"{MISSING}\n")
        return 1
    folder.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(prefix="shop-") as home,
        EmbeddedPostgres.start(Path(home), durable=False) as server,
    ):
        make_templates(server.url)
        with new_database(server.url) as database:
            shop = Shop(Path(home), database)
            try:
                fill(shop)
                _shoot(look, shop, folder)
            finally:
                look.close()
                shop.close()
    return 0


def _shoot(look: Look, shop: Shop, folder: Path) -> None:
    bulk = quote(shop.do("GET", "/bulks/v1")["bulks"][0]["bulk_id"], safe="")
    for scheme in ("light", "dark"):
        look.fresh(viewport={"width": 1280, "height": 760}, colorScheme=scheme)
        for name, path in VIEWS.items():
            url = f"{shop.url}/dashboard{path.replace('BULK', bulk)}"
            look.run(SHOOT, url=url, path=str(folder / f"{name}-{scheme}.png"))
            if name == "login":
                look.sign_in(shop.url, SECRET)
    look.fresh(viewport={"width": 360, "height": 740}, colorScheme="light", deviceScaleFactor=2)
    look.sign_in(shop.url, SECRET)
    for name in ("runs", "run"):
        look.run(SHOOT, url=f"{shop.url}/dashboard{VIEWS[name]}", path=str(folder / f"{name}-phone.png"))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]) if len(sys.argv) > 1 else IMAGES))
