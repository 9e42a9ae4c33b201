"""What is believed of a request, and who may come from where."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

MUTANTS = (
    Mutant(
        "transfer-codings-taken-for-none",
        "A body in a transfer coding that isn't known is not taken for what it encodes",
        "hostile/test_wire.py::test_a_transfer_coding_that_is_not_known_is_refused[gzip, chunked]",
    ),
    Mutant(
        "weights-of-accept-unread",
        "What a caller weighs with nothing is not what it asks for",
        "http/test_events.py::test_who_does_not_ask_gets_the_result_alone[text/event-stream;q=0]",
    ),
    Mutant(
        "two-hosts",
        "A request has one Host",
        "http/test_requests.py::test_heads_that_can_be_read_in_two_ways_are_refused",
    ),
    Mutant(
        "lifespans-end-under-requests",
        "An application is shut down once its last request is answered",
        "http/test_lifespans.py::test_a_reload_ends_what_is_out_of_use",
    ),
    Mutant(
        "any-host",
        "A host that asks nobody is called by names that it knows: DNS rebinding",
        "http/test_requests.py::test_a_foreign_page_cannot_call_a_host_that_asks_nobody",
    ),
    Mutant(
        "all-headers-stored",
        "Of a request's header what is listed is stored",
        "http/test_requests.py::test_little_of_a_request_is_stored",
    ),
    Mutant(
        "bodies-behind-upgrades",
        "A request that asks for another protocol is read with its body",
        "http/test_handlers.py::test_a_wish_for_another_protocol_costs_no_body_and_no_later_request",
    ),
    Mutant(
        "secret-headers-asked-for",
        "No workflow asks for credentials",
        "http/test_requests.py::test_no_workflow_may_ask_for_credentials",
    ),
    Mutant(
        "everybody-reads-of-all",
        "Whoever asks sees what they may call",
        "http/test_requests.py::test_whoever_asks_sees_what_they_may_call",
    ),
    Mutant(
        "malformed-beside-a-key",
        "An Authorization that is none is refused, whatever key comes with it",
        "http/test_requests.py::test_an_authorization_that_is_none_is_refused_beside_a_good_key",
    ),
    Mutant(
        "stream-outlives-token",
        "A stream ends with its token",
        "http/test_requests.py::test_a_stream_of_published_events_ends_with_its_token",
    ),
    Mutant(
        "unknown-words-find-nothing",
        "A word that a filter doesn't know is refused, and isn't taken for nothing found",
        "web/test_listing.py::test_what_cannot_be_read_is_named_with_a_remedy",
    ),
)
