"""An assistant that streams its words, and asks a person by mail before it pays."""

import asyncio
from datetime import timedelta
from typing import Any, Literal

from outlast import callback, emit, publish, receive, start, step, workflow

Verdict = Literal["approve", "reject"]
DECIDE_WITHIN = timedelta(days=3)


@step(max_attempts=5)
async def think(question: str, seen: list[Any]) -> dict[str, Any]:
    """Ask the model what to do next; its words are seen as they come. A real one is called here."""
    if "refund" in question and not seen:
        return {"tool": "refund", "cents": 4200}
    words = f"{'The refund was ' + seen[0]['outcome'] if seen else 'All is well'}: {question}"
    for word in words.split():
        emit(word)
        await asyncio.sleep(0.02)
    return {"answer": words}


@step(max_attempts=5)
async def refund(cents: int) -> str:
    """Pay it back, once: the step's output is recorded."""
    return f"paid {cents / 100:.2f}"


@workflow
async def agent(question: str, boss: str = "boss@example.com") -> str:
    """Think, act, think again: POST /functions/v1/agent with `accept: text/event-stream` shows the words."""
    seen: list[Any] = []
    while "answer" not in (thought := await think(question, seen)):
        asked = await start(approval, boss, f"Refund {thought['cents']} cents?")
        outcome = await refund(thought["cents"]) if await asked.result() == "approve" else "rejected"
        seen.append({"tool": thought["tool"], "outcome": outcome})
    return str(thought["answer"])


@step(max_attempts=5)
async def mail(to: str, text: str, link: str) -> None:
    """Send it. A real one calls your mail service."""


@workflow
async def approval(boss: str, text: str) -> Verdict:
    """Ask a person by a link that a mail can carry; no answer is a no."""
    link = await callback("verdict", expires=DECIDE_WITHIN, of=Verdict)
    await publish("asked", {"boss": boss})
    await mail(boss, text, link)
    verdict: Verdict = await receive("verdict", timeout=DECIDE_WITHIN, default="reject", of=Verdict)
    return verdict
