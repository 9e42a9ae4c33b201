"""What consumes the queue of the tests, and of docs/queues.md."""

from __future__ import annotations

import os
from pathlib import Path

from outlast import step, workflow


@step
async def ship(sku: str) -> str:
    with (Path(os.environ["PROOF_FOLDER"]) / "witness").open("a") as witness:
        witness.write(f"ship {sku}\n")
    return f"{sku} shipped"


@workflow(queue="pgmq:orders")
async def orders(sku: str, quantity: int = 1, note: str = "") -> str:
    return await ship(sku)
