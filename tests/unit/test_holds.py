"""Why something is held: what people are told of it."""

from __future__ import annotations

import json

import pytest

from outlast.core.holds import detail_of, public_hold, side_by_side
from outlast.core.stops import Diverged

STEP = ("step", "charge")


def told(**what: object) -> dict[str, object]:
    diverged = Diverged("other", step="3", place="functions/pay.py:41", **what)  # type: ignore[arg-type]
    return detail_of(diverged, "ab12", "2026-11-29T06:00:00+00:00", "99ff")


def test_what_is_recorded_stands_beside_what_is_called() -> None:
    text = side_by_side(told(recorded=STEP, called=("step", "refund")))
    assert text.splitlines() == [
        "other",
        "  step 3 recorded: step charge",
        "  step 3 called:   step refund  (functions/pay.py:41)",
        "  since version ab12 of its file; it began as version 99ff of its file",
        '  remedy: if patched("use-refund"): … refund … else: … charge …',
    ]


@pytest.mark.parametrize(
    ("what", "remedy"),
    [
        ({"recorded": STEP}, 'if not patched("without-charge"): … charge …'),
        ({"recorded": STEP, "called": STEP}, 'if patched("new-charge"): … as now … else: … as before …'),
        ({"reason": "output_mismatch", "recorded": STEP, "called": STEP}, "let the step's annotation accept"),
        ({"reason": "input_mismatch"}, "let the function's parameters accept"),
    ],
)
def test_each_has_a_remedy(what: dict[str, object], remedy: str) -> None:
    assert str(told(**what)["remedy"]).startswith(remedy)


def test_users_are_told_the_reason_alone() -> None:
    text = json.dumps(told(recorded=STEP))
    assert public_hold(text, whole=False) == {
        "reason": "non_determinism",
        "since": "2026-11-29T06:00:00+00:00",
    }
    assert public_hold(text, whole=True)["at"] == "functions/pay.py:41"
