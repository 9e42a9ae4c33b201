"""Mutants of what values become: in JSON, on their way to a child, in SQL, in a step's attempts."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

SAMENESS = "core/sameness.py"
ANSWERS = "core/answers.py"
ATTEMPTS = "engine/attempts.py"
STEPS = "sdk/steps.py"
_ANSWERED = "test_answers.py::test_work_that_is_done_succeeds_whatever_it_answers"
_REFUSED = "test_answers.py::test_an_input_that_would_change_is_refused_with_its_field"
_TIMES = "test_sameness.py::test_the_repeated_hour_keeps_its_moment"
_TOLD = "test_attempts.py::test_the_last_error_tells_of_all_attempts_live_and_on_replay"

MUTANTS = (
    Mutant(
        "an-answers-type-fails-the-work",
        "No answer's type fails work that is done",
        ANSWERS,
        "        reason = str(error)\n",
        "        raise\n",
        engine=(_ANSWERED,),
    ),
    Mutant(
        "an-input-changes-unseen",
        "What would reach a child as another value is refused",
        "sdk/inputs.py",
        "(changed := difference(back, given if self.whole is None else {self.whole: given}))",
        "(changed := None)",
        engine=(_REFUSED,),
    ),
    Mutant(
        "names-of-fields-unread",
        "Models are read by alias and by name",
        "core/codec.py",
        "decoded = adapter.validator.validate_json(encoded, by_alias=True, by_name=True)",
        "decoded = adapter.validator.validate_json(encoded)",
        engine=("test_answers.py::test_a_parent_gets_a_childs_answer_as_the_child_annotates_it_or_as_json",),
    ),
    Mutant(
        "equal-is-the-same",
        "A value that is equal and of another type isn't the same, however deep it lies",
        SAMENESS,
        "    if isinstance(value, list | tuple):\n",
        "    if back == value:\n        return None\n    if isinstance(value, list | tuple):\n",
        unit=("test_sameness.py::test_what_would_be_another_is_told",),
    ),
    Mutant(
        "the-repeated-hour-refused",
        "A time in the hour that a zone repeats is recorded",
        SAMENESS,
        "    if isinstance(value, datetime | time):\n",
        "    if False:\n",
        unit=(_TIMES,),
    ),
    Mutant(
        "equal-numbers-refused",
        "Numbers that are equal pass",
        SAMENESS,
        "        return None if _same_number(back, value) else _told(back, value, path)",
        "        return _told(back, value, path)",
        unit=("test_sameness.py::test_values_of_a_type_pass_and_come_back_once_more_the_same",),
    ),
    Mutant(
        "errors-hold-nul",
        "The error of a workflow is readable in SQL",
        "engine/executor.py",
        "    return clean_json(text if",
        "    return (text if",
        engine=("test_answers.py::test_no_error_of_a_workflow_holds_what_sql_cannot_read",),
    ),
    Mutant(
        "messages-hold-nul",
        "What SQL reads holds no NUL",
        "core/storable.py",
        "    if holds_nul(text):\n",
        "    if False:\n",
        unit=("test_storable.py::test_json_that_sql_cannot_read_is_refused_with_the_remedy",),
    ),
    Mutant(
        "names-hold-nul",
        "A name that Postgres can't hold is refused",
        "core/storable.py",
        "    if (found := unstorable(text)) is not None:\n",
        "    if (found := None) is not None:\n",
        unit=("test_storable.py::test_a_text_that_is_refused_is_named",),
    ),
    Mutant(
        "attempts-untold",
        "The last error tells of all attempts",
        ATTEMPTS,
        "            if attempt > 1:\n",
        "            if False:\n",
        engine=(_TOLD,),
    ),
    Mutant(
        "notes-pile-up",
        "An error that is raised anew has one note",
        ATTEMPTS,
        " if not str(each).startswith(_NOTE)]",
        "]",
        engine=(
            "test_attempts.py::test_an_error_that_cannot_be_rebuilt_or_is_raised_anew_has_the_note_once",
        ),
    ),
    Mutant(
        "step-unknown",
        "A function knows its step",
        ATTEMPTS,
        "    if tried is not None:\n        own.run(enter_attempt, ",
        "    if False:\n        own.run(enter_attempt, ",
        engine=("test_attempts.py::test_a_function_knows_its_step_and_how_many_attempts_it_has",),
    ),
    Mutant(
        "slots-lost",
        "What an exception keeps in slots comes back",
        "core/failures.py",
        "    for key in _slots(type(error)):\n",
        "    for key in ():\n",
        engine=("test_attempts.py::test_what_an_exception_keeps_in_slots_comes_back",),
    ),
    Mutant(
        "methods-decorated",
        "A method is refused",
        STEPS,
        '    if first in ("self", "cls") and _in_class(fn):\n',
        "    if False:\n",
        unit=("test_step_options.py::test_a_method_is_refused",),
    ),
    Mutant(
        "predicates-unawaited",
        "A predicate that nobody awaits is refused",
        STEPS,
        "    elif is_async(retry_on) or is_async(type(retry_on).__call__):\n",
        "    elif False:\n",
        unit=("test_step_options.py::test_a_predicate_that_nobody_awaits_is_refused",),
    ),
    Mutant(
        "infinite-timeouts",
        "A timeout without an end is refused",
        "sdk/durations.py",
        "    if isinstance(duration, float) and duration == math.inf:\n",
        "    if False:\n",
        unit=("test_step_options.py::test_no_bound_is_none_and_not_infinity",),
    ),
)
