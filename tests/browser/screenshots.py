"""Pictures of each view for the docs: a real Chromium, a real host, and a day that it has had.

`make screenshots` writes them into docs/images; `python -m tests.browser.screenshots FOLDER` elsewhere.
"""

from __future__ import annotations

import sys
import tempfile
from base64 import b64decode
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
DARK = ("runs", "run", "function")
PHONE = ("runs", "run")
SHOOT = """async ({ page, context }, { url, path }) => {
  await page.goto(url, { waitUntil: 'networkidle' })
  const png = await page.screenshot({ type: 'png', animations: 'disabled' })
  const blank = await context.newPage()
  const webp = await blank.evaluate(async (text) => {
    const bytes = Uint8Array.from(atob(text), (each) => each.charCodeAt(0))
    const bitmap = await createImageBitmap(new Blob([bytes], { type: 'image/png' }))
    const canvas = new OffscreenCanvas(bitmap.width, bitmap.height)
    canvas.getContext('2d').drawImage(bitmap, 0, 0)
    const blob = await canvas.convertToBlob({ type: 'image/webp', quality: 0.85 })
    return btoa(String.fromCharCode(...new Uint8Array(await blob.arrayBuffer())))
  }, png.toString('base64'))
  await blank.close()
  return webp
}"""
"""A picture as WebP, which is a third of a PNG's size."""


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

    def shoot(name: str, kind: str) -> None:
        url = f"{shop.url}/dashboard{VIEWS[name].replace('BULK', bulk)}"
        (folder / f"{name}-{kind}.webp").write_bytes(b64decode(look.run(SHOOT, url=url)))

    wide = {"width": 1280, "height": 760}
    look.fresh(viewport=wide, colorScheme="light")
    shoot("login", "light")
    look.sign_in(shop.url, SECRET)
    for name in VIEWS.keys() - {"login"}:
        shoot(name, "light")
    for kind, names, options in (
        ("dark", DARK, {"viewport": wide, "colorScheme": "dark"}),
        ("phone", PHONE, {"viewport": {"width": 360, "height": 740}, "deviceScaleFactor": 2}),
    ):
        look.fresh(**options)
        look.sign_in(shop.url, SECRET)
        for name in names:
            shoot(name, kind)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]) if len(sys.argv) > 1 else IMAGES))
