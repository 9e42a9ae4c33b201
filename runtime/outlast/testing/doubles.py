"""Stand-ins for steps and transactions: what they return, raise or do in a test."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from outlast.core.errors import UsageError
from outlast.sdk.context import Context
from outlast.sdk.definitions import StepDefinition, TransactionDefinition

UNSET: Any = object()
Definition = StepDefinition | TransactionDefinition


@dataclass(slots=True)
class Stub:
    """The stand-in for one step. `calls` are the arguments of each call, by name."""

    name: str
    returns: Any = UNSET
    raises: Sequence[BaseException | type[BaseException] | None] = ()
    by: Callable[..., Any] | None = None
    calls: list[dict[str, Any]] = field(default_factory=list)
    _numbers: dict[tuple[str, str, int], int] = field(default_factory=dict)
    """The number of each attempt: an attempt that runs again after a crash gets the same."""

    def reset(self) -> None:
        """Begin again, with the first of `raises`."""
        self._numbers.clear()
        self.calls.clear()

    async def call(
        self, definition: Definition, here: Context, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Run the stand-in for the attempt `here`; for a transaction without the connection."""
        self.calls.append(bind_call(definition, args, kwargs))
        attempt = here.workflow_id, here.step_id or "", here.attempt
        number = self._numbers.setdefault(attempt, len(self._numbers))
        if number < len(self.raises) and (error := self.raises[number]) is not None:
            raise error
        if self.by is None:
            return None if self.returns is UNSET else self.returns
        try:
            value = self.by(*args, **kwargs)
            return await value if inspect.isawaitable(value) else value
        except (StopIteration, StopAsyncIteration) as error:
            given = ", ".join(f"{name}={each!r}" for name, each in self.calls[-1].items())
            text = (
                f"the stub of {self.name} ran dry: `by` has nothing left for call {number + 1}, with {given}"
            )
            raise UsageError(text) from error


class Doubles:
    """The stubs of one test."""

    def __init__(self) -> None:
        self.only_stubs = False
        self._stubs: dict[int, tuple[Definition, Stub]] = {}

    def add(
        self,
        step: Any,
        returns: Any,
        raises: Any,
        by: Callable[..., Any] | None,
    ) -> Stub:
        """Let a stub stand in for `step` from now on. Raises UsageError."""
        definition = definition_of(step, "outlast.stub")
        if by is not None and (returns is not UNSET or raises):
            raise UsageError("outlast.stub: give `by`, or `returns` and `raises`, not both")
        if by is not None and not callable(by):
            raise UsageError(f"outlast.stub(by) takes a function, not {by!r}")
        listed = list(raises) if isinstance(raises, Sequence) else [raises]
        for each in listed:
            kind = each if isinstance(each, type) else type(each)
            if each is not None and not issubclass(kind, BaseException):
                raise UsageError(f"outlast.stub(raises) takes exceptions, None for a success, not {each!r}")
        stub = Stub(definition.name, returns, listed, by)
        self._stubs[id(definition)] = (definition, stub)
        return stub

    def of(self, definition: Definition) -> Stub | None:
        """The stub of a step or transaction, if there is one."""
        found = self._stubs.get(id(definition))
        return None if found is None else found[1]

    def reset(self) -> None:
        """Let all stubs begin again."""
        for _, stub in self._stubs.values():
            stub.reset()


def definition_of(step: Any, what: str) -> Definition:
    """The definition of a decorated step or transaction. Raises UsageError."""
    definition = getattr(step, "definition", None)
    if not isinstance(definition, StepDefinition | TransactionDefinition):
        raise UsageError(
            f"{what} takes a function decorated with @step or @transaction, not {say_given(step)}"
        )
    return definition


def say_given(value: Any) -> str:
    """A decorated function's name, or the repr of anything else."""
    definition = getattr(value, "definition", None)
    if definition is None:
        return repr(value)
    kind = type(definition).__name__.removesuffix("Definition").lower()
    return f"the {kind} {definition.name}"


def bind_call(definition: Definition, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """The arguments of a call by parameter name; for a transaction without its connection."""
    signature = inspect.signature(definition.fn)
    given = (None, *args) if isinstance(definition, TransactionDefinition) else args
    try:
        found = signature.bind(*given, **kwargs)
    except TypeError:
        return {**{str(place): each for place, each in enumerate(args)}, **kwargs}
    found.apply_defaults()
    named = dict(found.arguments)
    if isinstance(definition, TransactionDefinition):
        named.pop(next(iter(signature.parameters)), None)
    return named
