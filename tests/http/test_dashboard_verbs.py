"""Every verb has a page that asks first; only its form does it."""

from __future__ import annotations

import re
from urllib.parse import quote

import httpx
import pytest

from outlast.core.verbs import BULK, SEND, VERBS, Verb
from tests.hosts import NO_CERTIFICATES, SECRET
from tests.http.conftest import Start
from tests.http.harness import LIMIT_S, Served, fresh_key


@pytest.fixture(scope="module")
def host(start_host: Start) -> Served:
    return start_host()


@pytest.fixture(scope="module")
def workflow_id(host: Served) -> str:
    return host.begin("held", fresh_key())


@pytest.mark.parametrize(
    "verb",
    [each for each in VERBS if each not in (BULK, SEND)],
    ids=lambda each: f"{each.noun.one}-{each.name}",
)
def test_a_verb_asks_first(host: Served, workflow_id: str, verb: Verb) -> None:
    host.query("insert into outlast.queues (name, base) values ('asked', '{}') on conflict do nothing")
    key = quote(workflow_id, safe="") if verb.noun.name == "workflows" else "asked"
    below = f"/{key}" if verb.of_one else ""
    headers = {"apikey": SECRET, "accept": "text/html"}
    url = f"{host.url}/dashboard/{verb.noun.name}{below}/do/{verb.name}"
    before = host.query("select count(*) from outlast.acts")
    answer = httpx.get(url, headers=headers, timeout=LIMIT_S, verify=NO_CERTIFICATES)
    assert answer.status_code == 200, answer.text
    (form,) = re.findall(
        r"<form [^>]*method=\"post\".*?</form>", answer.text.partition("<main")[2], re.DOTALL
    )
    for each in verb.arguments:
        assert f'name="{each.name}"' in form or each.name == "idempotency_key", each.name
    assert re.search(r"<button[^>]*>", form)
    assert host.query("select count(*) from outlast.acts") == before
