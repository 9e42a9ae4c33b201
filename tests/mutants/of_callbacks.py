"""Callbacks: one use is one message, and what a link was for may be over."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

PAGE = "http/test_callbacks_page.py::"

MUTANTS = (
    Mutant(
        "callbacks-spelled-otherwise",
        "A token has one spelling",
        "unit/test_callbacks.py::test_every_change_of_a_token_makes_it_nobodys",
    ),
    Mutant(
        "callback-used-again",
        "One use is one message, whoever answers at the same time",
        PAGE + "test_two_that_answer_at_once_are_one",
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
        "callbacks-in-the-log",
        "The log leaves tokens out",
        PAGE + "test_a_browser_and_the_log",
    ),
)
