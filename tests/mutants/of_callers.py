"""Who calls: tokens, keys, ownership, webhooks, and transactions in a caller's name."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

MUTANTS = (
    Mutant(
        "wrong-keys-taken-for-none",
        "Whoever presents a key of another project is told so",
        "http/test_auth.py::test_ways_in",
    ),
    Mutant(
        "token-unsigned",
        "A token is signed by a key of the project",
        "http/test_auth.py::test_bad_tokens_are_refused",
    ),
    Mutant(
        "token-expired-long-ago",
        "A token is good until its exp, by the clock of the host",
        "web/test_tokens.py::test_tokens_are_in_force_by_our_clock",
    ),
    Mutant(
        "token-of-tomorrow",
        "A token isn't good before its nbf and its iat",
        "web/test_tokens.py::test_tokens_are_in_force_by_our_clock",
    ),
    Mutant(
        "old-keys-for-ever",
        "A key set that can't be fetched anew is believed in for a day",
        "http/test_auth.py::test_a_revoked_key_is_no_good_for_long",
    ),
    Mutant(
        "empty-key-set",
        "A set without keys never replaces a good one",
        "http/test_auth.py::test_a_revoked_key_is_no_good_for_long",
    ),
    Mutant(
        "token-of-another-project",
        "A token of another issuer is none",
        "http/test_auth.py::test_bad_tokens_are_refused",
    ),
    Mutant(
        "token-for-something-else",
        "A token for another audience is none",
        "http/test_auth.py::test_bad_tokens_are_refused",
    ),
    Mutant(
        "service-role-of-anywhere",
        "A token of a role without a user is the project's own, or one of its keys",
        "http/test_auth.py::test_bad_tokens_are_refused",
    ),
    Mutant(
        "claim-of-ours",
        "A token can't say what only the host says",
        "http/test_auth.py::test_a_claim_of_our_own_name_says_nothing",
    ),
    Mutant(
        "user-counts-as-secret",
        "Only a secret key may do everything",
        "http/test_ownership.py::test_others_find_nothing",
    ),
    Mutant(
        "users-send-messages",
        "Only a secret key sends messages by HTTP",
        "http/test_ownership.py::test_users_send_no_messages",
    ),
    Mutant(
        "bad-token-beside-a-key",
        "A bad token is refused, whatever else is there",
        "http/test_auth.py::test_a_token_goes_before_a_key",
    ),
    Mutant(
        "any-key-fits", "A function that asks for one key takes no other", "http/test_auth.py::test_ways_in"
    ),
    Mutant(
        "known-keys-refused",
        "A key gives its stored answer though the function's code would not take the call any more",
        "http/test_changed_inputs.py::test_a_key_gets_its_answer_though_the_code_would_not_take_the_call_now"
        "[parameters]",
    ),
    Mutant(
        "guessable-keys-of-strangers",
        "Keys of anonymous callers can't be guessed",
        "http/test_auth.py::test_keys_of_anonymous_callers_must_be_uuids",
    ),
    Mutant(
        "anybodys-workflow-shown",
        "A workflow is shown to its caller alone",
        "http/test_ownership.py::test_others_find_nothing",
    ),
    Mutant(
        "anybodys-workflow-cancelled",
        "A workflow is cancelled by its caller alone",
        "http/test_ownership.py::test_owners_may_cancel_and_others_may_not",
    ),
    Mutant(
        "everybodys-list-by-sql",
        "A page that is asked for one subject holds nothing of others",
        "http/test_ownership.py::test_pages_hold_nothing_of_others",
    ),
    Mutant(
        "exception-text-for-users",
        "A user neither sees nor finds the text of an exception",
        "store/test_pages.py::test_a_user_neither_sees_nor_finds_the_text_of_an_exception",
    ),
    Mutant(
        "claims-not-set",
        "A caller's transaction has the caller's claims",
        "engine/test_callers.py::test_who_one_is_in_it_and_after_it",
    ),
    Mutant(
        "role-not-set",
        "A caller's transaction has the caller's role",
        "engine/test_callers.py::test_who_one_is_in_it_and_after_it",
    ),
    Mutant(
        "any-role",
        "A caller has a role that callers may have",
        "engine/test_callers.py::test_a_role_that_callers_cannot_have_is_refused",
    ),
    Mutant(
        "cursors-kept",
        "Cursors that outlive the commit are closed, and don't run with the rights of the engine",
        "engine/test_leftovers.py::test_nothing_is_left_in_the_session",
        "engine/test_leftovers.py::test_the_engine_runs_nothing_of_a_body_under_its_own_role",
    ),
    Mutant(
        "settings-lost",
        "The session's own settings are made again",
        "engine/test_leftovers.py::test_nothing_is_left_in_the_session",
    ),
    Mutant(
        "became-somebody-else",
        "A body that ends under another role is undone",
        "engine/test_callers.py::test_a_body_that_becomes_somebody_else_is_undone",
    ),
    Mutant(
        "deferred-to-the-engine",
        "Deferred triggers run as the caller",
        "engine/test_callers.py::test_deferred_triggers_run_as_the_caller",
    ),
    Mutant(
        "connection-kept",
        "A body's connection is no good after its end",
        "engine/test_leftovers.py::test_what_a_body_leaves_running_has_no_connection",
        "engine/test_leftovers.py::test_a_thread_whose_attempt_is_over_has_no_connection",
    ),
    Mutant(
        "statement-goes-on",
        "A statement that runs at the end of its attempt is cut off",
        "engine/test_leftovers.py::test_a_statement_of_a_thread_is_cut_off_with_its_attempt",
    ),
    Mutant(
        "settings-of-no-transaction",
        "Where sessions don't last settings are made for each transaction",
        "engine/test_settings.py::test_a_setting_changes_nothing",
    ),
    Mutant(
        "any-signature",
        "A webhook is signed with its secret",
        "unit/test_signatures.py::test_no_bytes_raise_or_pass",
    ),
    Mutant(
        "body-unsigned",
        "The signature is of the body too",
        "unit/test_signatures.py::test_published_signatures_are_right",
    ),
    Mutant(
        "stale-delivery", "A delivery is of now", "http/test_webhooks.py::test_a_stale_delivery_is_refused"
    ),
    Mutant(
        "any-shared-secret",
        "A shared secret is the one that is known",
        "http/test_webhooks.py::test_a_wrong_secret_leaves_no_row",
    ),
    Mutant(
        "infinite-input",
        "A number that no double holds is refused before a row exists",
        "unit/test_doubles.py::test_what_no_double_holds",
    ),
)
