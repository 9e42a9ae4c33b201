"""A client that goes away while it is answered: nobody is told. Other failures are no such thing."""

from __future__ import annotations

from typing import Any

import pytest

from outlast.web.http.answers import PIECE_BYTES, Answer, ClientGone, Reply

OF_UVLOOP = (
    "unable to perform operation on <TCPTransport closed=True reading=False 0x55>; the handler is closed"
)


@pytest.mark.parametrize(
    ("text", "seen"), [(OF_UVLOOP, ClientGone), ("response already begun", RuntimeError)]
)
async def test_a_write_to_a_client_that_has_gone_says_so(text: str, seen: type[Exception]) -> None:
    async def send(_: Any) -> None:
        raise RuntimeError(text)

    with pytest.raises(Exception) as raised:
        await Answer(200, b"x").send(Reply(send, []))
    assert raised.type is seen


@pytest.mark.parametrize("more", [False, True])
async def test_a_large_body_is_sent_in_pieces(more: bool) -> None:
    """The server takes the next one when the client has read."""
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    body = bytes(range(256)) * (2 * PIECE_BYTES // 256) + b"end"
    await Reply(send, [])({"type": "http.response.body", "body": body, "more_body": more})
    assert b"".join(each["body"] for each in sent) == body
    assert [len(each["body"]) for each in sent] == [PIECE_BYTES, PIECE_BYTES, 3]
    assert [each["more_body"] for each in sent] == [True, True, more]
