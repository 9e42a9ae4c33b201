from outlast import step, workflow


@step
async def greet(name: str) -> str:
    return f"Hello, {name}!"


@workflow
async def hello(name: str = "World") -> dict[str, str]:
    """Greet somebody."""
    return {"message": await greet(name)}
