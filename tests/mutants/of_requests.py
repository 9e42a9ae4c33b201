"""Mutants of what is believed of a request, who may come from where, what is stored, and who sees what."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

HEADS = "web/heads.py"
NEIGHBOURS = "web/neighbours.py"
RECORDED = "sdk/recorded.py"
VIEWS = "web/openapi/views.py"

_TWO_WAYS = ("test_requests.py::test_heads_that_can_be_read_in_two_ways_are_refused",)
_FOREIGN = ("test_requests.py::test_a_foreign_page_cannot_call_a_host_that_asks_nobody",)
_SEEN = ("test_requests.py::test_whoever_asks_sees_what_they_may_call",)
_LITTLE = ("test_requests.py::test_little_of_a_request_is_stored",)

MUTANTS = (
    Mutant(
        "two-hosts",
        "A request has one Host",
        HEADS,
        "    if len(hosts) > 1:\n",
        "    if len(hosts) > 2:\n",
        http=_TWO_WAYS,
    ),
    Mutant(
        "no-host",
        "A request of HTTP/1.1 has a Host",
        HEADS,
        'if not hosts and version == "1.1":',
        'if not hosts and version == "1.2":',
        http=_TWO_WAYS,
    ),
    Mutant(
        "two-credentials",
        "A credential is sent once",
        HEADS,
        "if len(call.header_values(name.encode())) > 1:",
        "if len(call.header_values(name.encode())) > 2:",
        http=_TWO_WAYS,
    ),
    Mutant(
        "chunked-of-old",
        "HTTP/1.0 has no Transfer-Encoding",
        HEADS,
        'if version == "1.0" and',
        'if version == "0.9" and',
        http=("test_requests.py::test_an_old_request_has_no_transfer_encoding",),
    ),
    Mutant(
        "packed-body",
        "A packed body is told so",
        HEADS,
        'if any(each.strip().lower() not in ("", "identity") for each in encodings.split(",")):',
        "if encodings is None:",
        http=("test_requests.py::test_a_body_that_is_packed_is_told_so",),
    ),
    Mutant(
        "any-host",
        "A host that asks nobody is called by names that it knows: DNS rebinding",
        NEIGHBOURS,
        'if host and not self._is_known(_name_of(f"http://{host}")):',
        "if host is None:",
        http=_FOREIGN,
    ),
    Mutant(
        "any-origin",
        "A host that asks nobody is called by pages that it knows",
        NEIGHBOURS,
        "if not all(self._may_call(origin) for origin in origins):",
        "if origins is None:",
        http=_FOREIGN,
    ),
    Mutant(
        "any-link",
        "A link or an image of a foreign page starts nothing",
        NEIGHBOURS,
        'if not origins and call.header(b"sec-fetch-site") == "cross-site":',
        "if origins is None:",
        http=("test_requests.py::test_a_link_of_a_foreign_page_starts_nothing",),
    ),
    Mutant(
        "all-headers-stored",
        "Of a request's header what is listed is stored",
        RECORDED,
        "if name in wanted and size <= room and not is_secret(name):",
        "if size <= room:",
        http=_LITTLE,
    ),
    Mutant(
        "headers-unbounded",
        "What is stored of a header is bounded",
        RECORDED,
        "if name in wanted and size <= room and",
        "if name in wanted and",
        http=_LITTLE,
    ),
    Mutant(
        "secret-headers-asked-for",
        "No workflow asks for credentials",
        RECORDED,
        "        if is_secret(name):\n",
        "        if not name:\n",
        http=("test_requests.py::test_no_workflow_may_ask_for_credentials",),
    ),
    Mutant(
        "strangers-read-of-gated",
        "Strangers see no function that the gateway keeps from them",
        VIEWS,
        "if gated(file, auth) and self.admitted is None:",
        "if self.admitted is not None and self.admitted.secret:",
        http=_SEEN,
    ),
    Mutant(
        "everybody-reads-of-all",
        "Whoever asks sees what they may call",
        VIEWS,
        "return auth is None or any(opens(self.admitted, mode) for mode in auth)",
        "return True",
        http=_SEEN,
    ),
    Mutant(
        "public-tells-secrets",
        "A public document has no secret functions",
        VIEWS,
        'return auth is None or any(mode.kind != "secret" for mode in auth)',
        "return True",
        http=("test_requests.py::test_the_document_may_be_public_but_for_secret_functions",),
    ),
    Mutant(
        "malformed-beside-a-key",
        "An Authorization that is none is refused, whatever key comes with it",
        "web/admission.py",
        "        if self.credentials.malformed:\n            raise _unreadable()\n",
        "",
        http=("test_requests.py::test_an_authorization_that_is_none_is_refused_beside_a_good_key",),
    ),
    Mutant(
        "empty-key-set",
        "A set without keys never replaces a good one",
        "web/key_sets.py",
        "if self._fetched and not fetched:",
        "if fetched is None:",
        http=("test_auth.py::test_a_revoked_key_is_no_good_for_long",),
    ),
    Mutant(
        "stream-outlives-token",
        "A stream ends with its token",
        "web/following.py",
        "if ends_at is not None and monotonic() >= ends_at:",
        "if ends_at is not None and monotonic() < 0:",
        http=("test_requests.py::test_a_stream_of_published_events_ends_with_its_token",),
    ),
    Mutant(
        "dotted-id",
        "A webhook's id can't shift what is signed",
        "web/webhooks.py",
        'if b"." in message_id:',
        "if message_id is None:",
        http=("test_webhooks.py::test_an_id_with_a_dot_cannot_shift_what_is_signed",),
    ),
    Mutant(
        "half-closed-is-gone",
        "A client that sends no more after its request is answered",
        "host/protocol.py",
        "        if not whole or self._refused or self.transport.is_closing():",
        "        if cycle is not None or not whole:",
        http=("test_half_closed.py::test_its_answer_may_take_a_while",),
    ),
    Mutant(
        "who-left-is-waited-for",
        "A client that resets the connection after closing its side holds nothing",
        "host/half_closed.py",
        "if any(events & _GONE for _, events in self._poll.poll(0)):",
        "if any(events < 0 for _, events in self._poll.poll(0)):",
        http=("test_half_closed.py::test_a_client_that_then_leaves_counts_no_more",),
    ),
    Mutant(
        "strangers-told-where-to-look",
        "Only holders of a secret key are told where to see more of a failure",
        "web/results.py",
        "    if secret and status == 500:",
        "    if status == 500:",
        http=("test_results.py::test_a_secret_key_is_told_where_to_see_more_of_a_failure",),
    ),
    Mutant(
        "forms-unbounded",
        "A form has a bounded number of fields",
        "sdk/forms.py",
        "        if at >= FIELDS_MAX:",
        "        if at < 0:",
        http=("test_reading_requests.py::test_a_form_that_cannot_be_read_is_refused",),
    ),
    Mutant(
        "unawaited-json-is-a-value",
        "What isn't awaited in an async function is told",
        "sdk/requests.py",
        "return Parsed(value) if _on_a_loop() else value",
        "return value",
        http=("test_reading_requests.py::test_what_is_not_awaited_is_told",),
    ),
)
