"""Mutants of what single steps show, what Postgres can't hold, and settings that are relied on."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

VISIBILITY = "functions/visibility.py"

_STEP = "test_ownership.py::test_a_step_may_show_what_it_returned"

MUTANTS = (
    Mutant(
        "hidden-steps-for-users",
        "Of a workflow users see what its visible steps returned, and nothing else",
        VISIBILITY,
        "each.definition.visible\n",
        "True\n",
        http=(_STEP,),
    ),
    Mutant(
        "steps-of-one-name-for-users",
        "A name that a hidden step has too is not shown",
        VISIBILITY,
        "shown[name] = visible and shown.get(name, True)",
        "shown[name] = visible or shown.get(name, False)",
        http=(_STEP,),
    ),
    Mutant(
        "inputs-with-nul",
        "Inputs hold no NUL, as messages don't",
        "sdk/inputs.py",
        '        check_json(body if isinstance(body, str) else body.decode(), "the input")\n',
        "",
        engine=("test_answers.py::test_a_call_takes_no_nul_and_what_was_stored_with_it_runs",),
        http=("test_bodies.py::test_inputs_hold_no_nul_just_as_messages_dont",),
    ),
    Mutant(
        "stored-inputs-refused",
        "What was stored with NUL before it was refused still runs",
        "engine/executor.py",
        'inputs.bind_json(claimed.input or "{}")',
        'inputs.take_json(claimed.input or "{}")',
        engine=("test_answers.py::test_a_call_takes_no_nul_and_what_was_stored_with_it_runs",),
    ),
    Mutant(
        "waits-that-are-refused-are-no-end",
        "A workflow whose waiting Postgres refuses to hold ends in words",
        "engine/executor.py",
        "                ending = await self._write_suspension(execution, ending)\n",
        "                await self._write_suspension(execution, ending)\n",
        engine=("test_refused_by_postgres.py::test_a_suspension_that_postgres_refuses_ends_the_workflow",),
    ),
    Mutant(
        "ends-that-are-refused-stay",
        "A workflow that may not even fail is given back",
        "engine/executor.py",
        "        except BadData as error:\n            why = str(error)\n",
        "        except ZeroDivisionError as error:\n            why = str(error)\n",
        engine=("test_refused_by_postgres.py::test_what_may_not_even_fail_is_given_back_and_tried_again",),
    ),
    Mutant(
        "journal-as-the-role-has-it",
        "Where sessions don't last the journal makes its settings before each statement",
        "store/wire.py",
        '{"needed": needed}), *requests]',
        '{"needed": "{}"}), *requests]',
        engine=("test_settings.py::test_a_setting_changes_nothing",),
    ),
)
