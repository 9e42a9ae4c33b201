"""Mutants of what one caller may take of a host, and of how it is told."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

_BODIES = "test_body_budget.py::"

MUTANTS = (
    Mutant(
        "answer-lost-to-a-reset",
        "Before closing, what a client still sends is read, so that it gets its answer",
        "host/draining.py",
        "or not self._sending()",
        "or True",
        http=("test_bodies.py::test_who_sends_all_of_a_larger_body_before_reading_gets_the_answer",),
    ),
    Mutant(
        "bodies-of-a-caller",
        "One caller's bodies have a bound",
        "web/bodies.py",
        "if used > held and used + more > self._caller_bytes_max:",
        "if False:",
        http=(
            _BODIES + "test_one_callers_bodies_are_bounded_before_they_are_read",
            _BODIES + "test_a_chunked_body_takes_as_it_grows",
        ),
    ),
    Mutant(
        "bodies-of-an-instance",
        "All bodies together have a bound",
        "web/bodies.py",
        "if self._used > held and self._used + more > self._bytes_max:",
        "if False:",
        http=(_BODIES + "test_all_bodies_of_an_instance_are_bounded",),
    ),
    Mutant(
        "alone-too-large",
        "A body that comes alone is taken at any size",
        "web/bodies.py",
        "if used > held and used",
        "if used",
        http=(_BODIES + "test_a_body_that_comes_alone_is_taken",),
    ),
    Mutant(
        "room-taken-late",
        "The room of a body is taken before it is read",
        "web/calls.py",
        "            self._share.take(told)\n",
        "            pass\n",
        http=(
            _BODIES + "test_one_callers_bodies_are_bounded_before_they_are_read",
            _BODIES + "test_all_bodies_of_an_instance_are_bounded",
        ),
    ),
    Mutant(
        "chunks-for-nothing",
        "A body without a length takes its room as it grows",
        "web/calls.py",
        "                self._share.take(len(chunk))\n",
        "                pass\n",
        http=(_BODIES + "test_a_chunked_body_takes_as_it_grows",),
    ),
    Mutant(
        "room-kept-while-waiting",
        "A call that waits for its result holds no room for its body",
        "web/invoke.py",
        "            call.release()  # from",
        "            pass  # from",
        http=(_BODIES + "test_what_waits_for_its_result_holds_no_room",),
    ),
    Mutant(
        "room-never-given-back",
        "The room of a body is given back at the call's end",
        "web/app.py",
        "                share.release()\n",
        "                pass\n",
        http=(_BODIES + "test_all_bodies_of_an_instance_are_bounded",),
    ),
    Mutant(
        "values-weigh-nothing",
        "What JSON unfolds into counts in the budget",
        "web/calls.py",
        "self._share.take(values * VALUE_BYTES)",
        "self._share.take(0)",
        http=(_BODIES + "test_values_count_beside_their_text",),
    ),
    Mutant(
        "unbounded-unfolding",
        "JSON with too many values is refused before it is read",
        "core/unfolding.py",
        "    if count > _limit:\n        raise",
        "    if False:\n        raise",
        http=(
            _BODIES + "test_what_unfolds_into_too_much_is_refused",
            _BODIES + "test_a_handler_that_reads_json_is_guarded",
        ),
    ),
    Mutant(
        "commas-of-texts",
        "Commas in texts are no values",
        "core/unfolding.py",
        "        count = _count_outside_texts(text)\n",
        "        pass\n",
        http=(_BODIES + "test_a_text_may_hold_as_many_commas_as_it_likes",),
    ),
    Mutant(
        "strangers-deliver-much",
        "A delivery is small until its signature is verified",
        "web/app.py",
        "verified=not isinstance(served.webhook, StandardWebhook)",
        "verified=True",
        http=(_BODIES + "test_a_delivery_is_smaller_unless_its_function_asks",),
    ),
    Mutant(
        "asked-without-bound",
        "What functions ask for is bounded",
        "web/bodies.py",
        "min(asked, max(self.bytes_max, self.asked_bytes_max))",
        "asked",
        http=(_BODIES + "test_what_functions_ask_for_is_bounded",),
    ),
    Mutant(
        "read-on-the-loop",
        "A large body is read in a thread",
        "web/off_loop.py",
        "    if size_bytes < LARGE_BYTES:\n",
        "    if True:\n",
        http=(_BODIES + "test_while_a_large_body_is_read_others_are_served",),
    ),
    Mutant(
        "reading-stops",
        "A thread that stops an iteration answers, too",
        "web/off_loop.py",
        "    except StopIteration as error:\n",
        "    except ZeroDivisionError as error:\n",
        http=(_BODIES + "test_a_large_body_whose_reading_stops_gets_an_answer",),
    ),
)
