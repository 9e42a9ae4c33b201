"""What is done to many rows, but for those that refused it a moment ago: as the store does it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from outlast.core.claims import Claims, LostInstance, QueueClaims
from outlast.core.records import Delivered
from outlast.store.refusals import Refusals
from outlast.testing.links import Link
from outlast.testing.statements.instances import InstanceStatements
from outlast.testing.statements.messages import MessageStatements


def instances_leaving_out(link: Link, statements: InstanceStatements) -> Mapping[str, Callable[..., Any]]:
    """Its claims, recovery and release."""
    refusals = Refusals()

    async def claim(*args: Any, **options: Any) -> Claims:
        refused = refusals.now()
        claims = await link.call("claim", lambda: statements.claim(*args, **options, refused=refused))
        refusals.note(claims.refused)
        return replace(claims, refused=refusals.news())

    async def claim_queued(*args: Any, **options: Any) -> QueueClaims:
        passed = refusals.now()
        claims = await link.call(
            "claim_queued", lambda: statements.claim_queued(*args, **options, passed=passed)
        )
        refusals.note(claims.refused)
        return replace(claims, refused=refusals.news())

    async def recover(lost: Sequence[LostInstance]) -> list[tuple[str, str]]:
        passed = refusals.now()
        recovered, refused = await link.call("recover", lambda: statements.recover(lost, passed))
        refusals.note(refused)
        return recovered

    async def release(epochs: dict[str, int], *args: Any) -> None:
        passed = refusals.now()
        epochs = {each: epoch for each, epoch in epochs.items() if each not in passed}
        refusals.note(await link.call("release", lambda: statements.release(epochs, *args)))

    return {"claim": claim, "claim_queued": claim_queued, "recover": recover, "release": release}


def deliver_leaving_out(link: Link, statements: MessageStatements) -> Callable[[], Any]:
    """Its delivery."""
    refusals = Refusals()

    async def deliver() -> Delivered:
        passed = refusals.now()
        delivered = await link.call("deliver", lambda: statements.deliver(passed))
        refusals.note(delivered.refused)
        return delivered._replace(refused=refusals.news())

    return deliver
