"""The test of checkout.py, written as any function's: docs/testing.md."""

from datetime import timedelta

import pytest

from functions.checkout import CardDeclined, charge, checkout, put_back, reserve, ship
from outlast import HTTPException
from outlast.testing import Outlast

ORDER = {"quantity": 2, "card": "4242"}


def test_an_order_is_paid_and_shipped(outlast: Outlast) -> None:
    outlast.stub(reserve, returns=True)
    outlast.stub(ship, returns=7)
    run = outlast.run(checkout, **ORDER)
    assert run.result["payment"].startswith("payment of 1998 cents for checkout:")
    assert run.result["shipment"] == 7
    assert [step.name for step in run.steps] == ["reserve", "charge", "ship"]


def test_an_order_waits_for_stock(outlast: Outlast) -> None:
    stock = [0]
    outlast.stub(reserve, by=lambda sku, quantity: stock[0] >= quantity)
    outlast.stub(ship, returns=1)
    run = outlast.start(checkout, **ORDER)
    _ = outlast.advance(minutes=10)
    assert [wait.kind for wait in run.waiting_on] == ["sleep"]
    stock[0] = 10
    assert outlast.finish(run).status == "SUCCESS"
    assert run.slept >= timedelta(minutes=10)


def test_a_declined_card_puts_the_widgets_back(outlast: Outlast) -> None:
    outlast.stub(reserve, returns=True)
    outlast.stub(charge, raises=[CardDeclined("the card was declined")])
    shelf = outlast.stub(put_back)
    with pytest.raises(HTTPException, match="the card was declined"):
        _ = outlast.run(checkout, **ORDER)
    assert shelf.calls == [{"sku": "widget", "quantity": 2}]


def test_over_http_one_key_is_one_order(outlast: Outlast) -> None:
    outlast.stub(reserve, returns=True)
    outlast.stub(charge, returns="paid")
    shipped = outlast.stub(ship, returns=1)
    keyed = outlast.with_key("order-7")
    first, again = (keyed.call(checkout, json=ORDER) for _ in range(2))
    assert (first.status, first.json()["payment"]) == (200, "paid")
    assert (again.body, again.headers["idempotency-replayed"]) == (first.body, "true")
    assert len(shipped.calls) == 1
    assert keyed.call(checkout, json={**ORDER, "quantity": 3}).json()["code"] == "idempotency_key_reused"


def test_a_provider_that_is_down_is_asked_again(outlast: Outlast) -> None:
    outlast.stub(reserve, returns=True)
    outlast.stub(charge, raises=[ConnectionError, ConnectionError], returns="paid")
    outlast.stub(ship, returns=1)
    run = outlast.run(checkout, **ORDER)
    assert [step.attempts for step in run.steps if step.name == "charge"] == [3]


def test_it_survives_a_crash_at_any_point(outlast: Outlast) -> None:
    outlast.stub(reserve, returns=True)
    outlast.stub(ship, returns=1)
    report = outlast.crash_everywhere(checkout, **ORDER)
    assert [(each.name, each.keyed) for each in report.repeated if each.kind == "step"] == [("charge", True)]
