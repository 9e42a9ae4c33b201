"""The dashboard's gate: who is in, for how long, by whose form, and what a viewer doesn't see."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

GATE = "http/test_dashboard_gate.py::"

MUTANTS = (
    Mutant(
        "refusals-of-the-engine-untold",
        "What is refused is told on the form, whoever refuses it",
        "http/test_dashboard_pages.py::test_what_is_refused_is_told_beside_what_was_typed",
        "http/test_dashboard_pages.py::test_of_the_chosen_one_that_refuses_keeps_no_other_from_its_turn",
    ),
    Mutant(
        "expired-sessions-go-on",
        "A session is over when its time is",
        GATE + "test_a_session_is_over_when_its_time_is",
    ),
    Mutant(
        "sessions-outlive-their-key",
        "A session ends with the key that began it",
        GATE + "test_a_session_ends_with_its_key",
    ),
    Mutant(
        "signed-out-goes-on",
        "Who has signed out is out, whoever else has the cookie",
        GATE + "test_a_session_is_known_to_all_processes_until_its_end",
    ),
    Mutant(
        "two-sessions-at-once",
        "A session that was planted beside one's own is not taken for it",
        GATE + "test_of_two_sessions_at_once_nobody_knows_whose_they_are",
    ),
    Mutant(
        "forms-of-other-sites",
        "Another site's page can't send a form",
        GATE + "test_forms_of_other_pages_are_refused",
    ),
    Mutant(
        "forms-without-their-token",
        "A form is of the session that loaded it",
        GATE + "test_a_form_needs_the_token_of_its_session",
    ),
    Mutant(
        "viewers-act",
        "A viewer key does nothing",
        GATE + "test_a_viewers_key_does_nothing",
    ),
    Mutant(
        "led-elsewhere-after-signing-in",
        "Signing in leads to the dashboard, whatever the address says",
        GATE + "test_nobody_is_led_elsewhere",
    ),
    Mutant(
        "keys-guessed-without-end",
        "An address may try only so many wrong keys",
        GATE + "test_wrong_keys_are_counted",
    ),
    Mutant(
        "values-for-viewers",
        "A viewer key sees no values",
        "http/test_dashboard_values.py::test_a_viewer_key_sees_no_values",
    ),
    Mutant(
        "values-found-by-filters",
        "A viewer key doesn't find values out by filters",
        "http/test_dashboard_values.py::test_a_viewer_key_finds_nothing_by_values",
    ),
    Mutant(
        "pages-read-across-origins",
        "No page of another origin reads the dashboard",
        GATE + "test_every_answer_says_what_a_browser_may_do",
    ),
)
