"""A host that serves the sample functions, and data that they have really made."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import psycopg

from outlast.host.hash_seed import seed_of
from tests.hosts import LIMIT_S, NO_CERTIFICATES, SECRET, Host, until

SAMPLE = Path(__file__).parent / "sample"
VIEWER = "viewer_key_of_the_sample_0123"
_SETTINGS = ("OUTLAST_", "SUPABASE_", "PG", "PORT")
CUSTOMERS = ("ada@example.com", "grace@example.com", "linus@example.com")


class Shop:
    """The host, with functions of a folder, or none. `call` calls one under a key; `until` waits for it."""

    def __init__(self, folder: Path, database: str, sample: Path | None = SAMPLE, **settings: str) -> None:
        env = {name: value for name, value in os.environ.items() if not name.startswith(_SETTINGS)}
        env |= {
            "SUPABASE_DB_URL": database,
            "PYTHONHASHSEED": str(seed_of(database)),
            "SUPABASE_SECRET_KEY": SECRET,
            "OUTLAST_VIEWER_KEY": VIEWER,
            "OUTLAST_LOG_FORMAT": "text",
            "OUTLAST_RELOAD": "true",
            "PYTHONUNBUFFERED": "1",
            **settings,
        }
        self.functions = folder / "functions"
        if sample is None:
            self.functions.mkdir()
        else:
            shutil.copytree(sample, self.functions)
        self.database = database
        self._folder = folder
        self._env = env
        self.start()
        self.url = self.host.url
        self.client = httpx.Client(
            base_url=self.url, headers={"apikey": SECRET}, timeout=LIMIT_S, verify=NO_CERTIFICATES
        )

    def start(self, port: str = "0", **settings: str) -> None:
        """Start the host; again, on the port that it had, by `restart`."""
        command = [
            sys.executable,
            "-m",
            "outlast",
            "serve",
            "--functions",
            str(self.functions),
            "--port",
            port,
        ]
        self.host = Host(
            command, {**self._env, **settings}, self._folder, self._folder / "host.log"
        ).until_ready()

    def restart(self, **settings: str) -> None:
        """End the host and start it with other settings, where it was."""
        self.host.close()
        self.start(self.url.rpartition(":")[2], **settings)

    def call(self, function: str, key: str, body: Any, **headers: str) -> str:
        """Start a workflow; its id."""
        sent = {"idempotency-key": key, "prefer": "respond-async", **headers}
        answer = self.client.post(f"/functions/v1/{function}", json=body, headers=sent)
        assert answer.status_code < 300, answer.text
        workflow_id: str = answer.headers["workflow-id"]
        return workflow_id

    def do(self, method: str, path: str, body: Any = None) -> Any:
        """Call the API."""
        answer = self.client.request(method, path, json=body)
        assert answer.status_code < 300, answer.text
        return answer.json()

    def deploy(self, file: str, old: str, new: str) -> None:
        """Change a file, and wait until it is served."""
        before = self.do("GET", "/catalog/v1")["catalog"]
        path = self.functions / file
        path.write_text(path.read_text().replace(old, new))

        def changed() -> bool:
            return [each["versions"] for each in self.do("GET", "/catalog/v1")["catalog"]] != [
                each["versions"] for each in before
            ]

        until(changed, "the new version")

    def query(self, text: str, *parameters: Any) -> None:
        """Change rows."""
        with psycopg.connect(self.database, autocommit=True) as connection:
            connection.execute(text.encode(), parameters)

    def until(self, workflow_id: str, what: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Wait until a workflow stands so."""

        def seen() -> dict[str, Any] | None:
            found: dict[str, Any] = self.do("GET", f"/workflows/v1/{workflow_id}")
            return found if what(found) else None

        return until(seen, workflow_id)

    def close(self) -> None:
        """End it."""
        self.client.close()
        self.host.close()


def fill(shop: Shop) -> None:
    """An ordinary day: orders, two declined cards, refunds that wait, mails, a pause, a bulk."""
    started = []
    for number in range(1, 25):
        order = {
            "order": f"A-{1040 + number}", "customer": CUSTOMERS[number % 3], "cents": 1_990 + 311 * number,
            "express": number % 3 > 0,
        }  # fmt: skip
        if number in (7, 15):
            order["cents"] = 129_900
        attributes = json.dumps({"customer": CUSTOMERS[number % 3].partition("@")[0]})
        key = f"A-{1040 + number}"
        started.append(shop.call("shop", key, order, **{"outlast-attributes": attributes}))
    for number in (3, 11):
        shop.call("shop/refund", f"R-{number}", {"order": f"A-{1040 + number}", "cents": 990})
    for number in range(12):
        shop.call("shop/mail", f"M-{number}", {"to": CUSTOMERS[number % 3]})
    shop.call("many/steps", "S-1", {"count": 60})
    for workflow_id in started:
        shop.until(workflow_id, lambda each: each["status"] != "PENDING" or each["claimable_at"] is not None)
    shop.do("POST", f"/workflows/v1/{started[2]}/pause", {"why": "the customer asked for another address"})
    shop.do("POST", "/queues/v1/mail/pause", {"why": "the provider has a bad day"})
    for number in range(12, 18):
        shop.call("shop/mail", f"M-{number}", {"to": CUSTOMERS[number % 3], "template": "news"})
    shop.do("PATCH", "/queues/v1/mail", {"concurrency": 4, "why": "news go out today"})
    arguments = {"attributes": {"season": "winter"}}
    arguments = {"attributes": {"season": "winter"}}
    bulk = {"verb": "set", "filter": {"function": "shop/mail"}, "arguments": arguments}
    begun = shop.do("POST", "/workflows/v1/bulk", {**bulk, "why": "so that they are found"})
    shop.until(begun["workflow_id"], lambda each: each["status"] == "SUCCESS")
    # What is still in memory would go on with the code it began with.
    shop.until("shop%2Frefund:R-3", lambda each: each["owner"] is None)
    shop.deploy("shop.py", "answer = await receive", "await check(order)\n    answer = await receive")
    shop.do("POST", "/workflows/v1/shop%2Frefund:R-3/messages/approval", "approved by Ada")
    shop.until("shop%2Frefund:R-3", lambda each: each["held"] is not None)
