"""A workflow that fails."""

from outlast import step, workflow


@step
async def divide(by: int) -> float:
    return 1 / (by - by)


@workflow(methods=["GET", "POST"])
async def failing(by: int = 0) -> float:
    """Never ends well."""
    return await divide(by)
