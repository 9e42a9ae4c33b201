"""Never finishes being imported, and catches whatever would end it but for good."""

import time

from outlast import workflow

for_ever = time.monotonic() > 0
while for_ever:
    try:
        time.sleep(3600)
    except Exception:  # noqa: S112
        continue


@workflow
async def endless() -> None:
    return None
