"""What the proofs of one test share: the workflow, the databases, and how they are asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from outlast.core.callers import Caller
from outlast.sdk.definitions import WorkflowDefinition
from outlast.testing.asking import A, Asker, Proof
from outlast.testing.ends import take_raises
from outlast.testing.starting import take_option
from outlast.testing.trials import Subject
from outlast.testing.worlds import Setting


class Prover:
    """The prover of one test."""

    def __init__(
        self,
        asker: Asker,
        setting: Setting,
        databases: Any,
    ) -> None:
        self.before_each: Callable[[], None] | None = None
        """Resets the outside world before each run."""
        self._asker = asker
        self._setting = setting
        self._databases = databases

    def subject(
        self,
        what: str,
        definition: WorkflowDefinition,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        caller: Caller,
    ) -> Subject:
        """The workflow to try; takes its option `raises` out of `kwargs`. Raises UsageError."""
        raises = take_raises(take_option(definition, kwargs, "raises", None), what)
        return Subject(definition, args, kwargs, caller, self._setting, self._begin_trial, raises)

    def prove(self, name: str, found: A, prove: Callable[[], None]) -> A:
        """Ask for a proof that fills `found`."""

        def work() -> None:
            try:
                prove()
            finally:
                if self._databases is not None:
                    self._databases.drop(keep=1)

        return self._asker.ask(name, found, work)

    def prove_and_tell(self, name: str, prove: Callable[[], str]) -> Proof:
        """Ask for a proof that returns a text to print."""
        proof = Proof()

        def work() -> None:
            proof.text = prove()

        return self.prove(name, proof, work)

    def _begin_trial(self) -> None:
        if self._databases is not None:
            self._databases.make()
        if self.before_each is not None:
            self.before_each()
