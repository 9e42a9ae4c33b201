"""Opens all that the process may open, until it is let go."""

import os

from _shared.gates import gate, witness  # type: ignore[import-not-found]

from outlast import workflow


@workflow
async def hoard(key: str) -> int:
    held = []
    try:
        while True:
            held.append(os.open("/", os.O_RDONLY))
    except OSError:
        os.close(held.pop())  # for the file that tells
        witness(key)
        held.append(os.open("/", os.O_RDONLY))
        await gate(key)
    finally:
        for descriptor in held:
            os.close(descriptor)
    return len(held)
