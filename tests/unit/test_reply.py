"""A client that goes away while it is answered: nobody is told. Other failures are no such thing."""

from __future__ import annotations

from typing import Any

import pytest

from outlast.web.answers import Answer, ClientGone, Reply

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
