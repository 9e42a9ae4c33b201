"""The smallest workflow: one step, recorded once, whatever happens in between."""

from outlast import step, workflow


@step
async def greet(name: str) -> str:
    return f"Hello, {name}!"


@workflow
async def hello(name: str = "World") -> dict[str, str]:
    """Greet somebody, durably."""
    return {"message": await greet(name)}
