"""Callbacks: one use is one message, and what a link was for may be over."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

PAGE = "http/test_callbacks_page.py::"
ANEW = "http/test_callbacks_anew.py::"
OF_ANOTHER = "store/test_conformance.py::test_links_and_answers_of_another_question_count_for_none"

FORMS = "http/test_callbacks_forms.py::"

MUTANTS = (
    Mutant(
        "empty-fields-are-texts",
        "A field that is left empty is nothing where a text doesn't fit",
        FORMS + "test_a_model_is_sent_as_it_is_shown",
    ),
    Mutant(
        "what-was-typed-is-gone",
        "Who is refused by the page of a callback keeps what was typed",
        FORMS + "test_what_was_typed_is_still_there_where_it_does_not_fit",
    ),
    Mutant(
        "callbacks-spelled-otherwise",
        "A token has one spelling",
        "unit/test_callbacks.py::test_every_change_of_a_token_makes_it_nobodys",
    ),
    Mutant(
        "callback-used-again",
        "Of a link for one answer all that answer the same are one",
        "store/test_conformance.py::test_a_callback_takes_as_many_answers_as_it_has_uses",
    ),
    Mutant(
        "callback-answered-too-often",
        "A link takes as many answers as it has uses",
        "store/test_conformance.py::test_a_callback_takes_as_many_answers_as_it_has_uses",
        PAGE + "test_several_who_answer_the_same_at_once_are_several",
    ),
    Mutant(
        "callback-answered-at-once",
        "Who answers at the same time sees the answers before",
        "store/test_messages.py::test_who_answers_a_callback_at_the_same_time_sees_the_answers_before",
    ),
    Mutant(
        "callback-over-for-want-of-a-type",
        "A link whose type a deploy has renamed isn't over",
        PAGE + "test_a_link_whose_type_a_deploy_has_renamed_can_wait",
    ),
    Mutant(
        "values-of-any-type-sent",
        "What would come back as another value is neither published nor sent",
        "engine/test_publishing.py::test_what_would_come_back_as_another_value_is_refused_wherever_it_stands",
    ),
    Mutant(
        "used-callback-shown",
        "The page of a used link says so",
        PAGE + "test_a_browser_and_the_log",
    ),
    Mutant(
        "used-callback-looks-at-what-is-sent",
        "A used link tells no more of what would fit",
        PAGE + "test_two_that_answer_at_once_are_one",
    ),
    Mutant(
        "expired-callback-taken",
        "A link that has expired takes nothing",
        PAGE + "test_one_that_has_expired",
    ),
    Mutant(
        "callback-of-the-ended",
        "A link whose workflow is over says so before it asks",
        PAGE + "test_the_page_of_one_that_is_over",
    ),
    Mutant(
        "callback-of-another-question-shown",
        "A link of an earlier generation doesn't show what is asked now",
        ANEW + "test_a_link_of_before_answers_nobody_elses_question",
    ),
    Mutant(
        "callback-of-another-question-answered",
        "A link of an earlier generation doesn't answer what is asked now, on Postgres",
        OF_ANOTHER,
    ),
    Mutant(
        "memory-callback-of-another-question-answered",
        "A link of an earlier generation doesn't answer what is asked now, in memory",
        OF_ANOTHER,
    ),
    Mutant(
        "links-of-the-removed-answer",
        "A link of a workflow that was removed doesn't answer another one of its id",
        ANEW + "test_a_link_of_what_was_removed_answers_no_other_workflow_of_its_id",
    ),
    Mutant(
        "callbacks-in-the-log",
        "The log leaves tokens out",
        PAGE + "test_a_browser_and_the_log",
    ),
)
