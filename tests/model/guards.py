"""The guards of the protocol, each a switch: a mutant is the protocol without one of them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Guards:
    """All on: what runtime/outlast does. A comment names where the guard stands."""

    epoch_checked: bool = True
    """records.sql: `w.epoch = h.epoch`, and the same of ends, transactions and releases."""
    owner_checked: bool = True
    """records.sql: `w.owner = %(instance)s`, likewise."""
    fence_locked: bool = True
    """records.sql: `for share`; of ends the update's own lock."""
    confirmed: bool = True
    """engine/journal.py `_try`: what a batch sent again didn't do is looked up by its nonce."""
    never_guessed: bool = True
    """The same: that something stands in the way doesn't mean that this batch put it there."""
    start_yields: bool = True
    """journal.sql: `on conflict (workflow_id) do nothing`."""
    record_stays: bool = True
    """records.sql: the primary key of a record; a conflict changes nothing that has ended."""
    orphans_released: bool = True
    """engine/instances/membership.py `_release_unknown`."""
    seen_twice: bool = True
    """The same: only what two beats saw."""
    starts_known: bool = True
    """The same: `self._starting()`."""
    recovery_raises_epoch: bool = True
    """instances.sql, recover."""
    claim_raises_epoch: bool = True
    """instances.sql, claim."""
    cancel_raises_epoch: bool = True
    """workflows.sql, cancel."""
    retry_raises_epoch: bool = True
    """outlast.go_on."""
    retry_raises_generation: bool = True
    """The same."""
    success_stays: bool = True
    """outlast.why_not_retried: only what has failed is retried."""
    pause_takes_owner: bool = True
    """outlast.pause_workflow."""
    pause_raises_epoch: bool = True
    """The same."""
    claim_spares_held: bool = True
    """instances.sql, claim: `held is null`."""
    trust_from_sending: bool = True
    """engine/lease.py `renewed(sent_at)`."""
    durable_first: bool = True
    """engine/execution/recording.py `when_durable`: a step begins only when all before it is durable."""
    end_in_order: bool = True
    """engine/journal.py: the end goes with or after the last records, never before."""
    end_together: bool = True
    """engine/journal.py `write`: what waits of one workflow, its end too, is one commit."""
    attach_reads: bool = True
    """engine/starts.py `start_new`: one that attaches compares what stands there with what it brings."""
    record_inside: bool = True
    """store/transactions.py: the record is the last statement of the user's own transaction."""
    cancel_waits: bool = True
    """workflows.sql, cancel: an update waits for who holds the row FOR SHARE."""
    failure_known_first: bool = True
    """execution.py `_certain`: a body goes by a transaction's failure when that is recorded."""
    starts_in_one_trust: bool = True
    """engine/lease.py `term`: what was started before a gap in the lease is asked for again."""
    starts_yield: bool = True
    """engine/starts.py `_begin`: a start whose answer comes late takes no claimed execution's place."""
    recovery_holds_lease: bool = True
    """instances.sql, recover: `for share of i`, so that the lease is looked at again under its lock."""
    revived_beats_twice: bool = True
    """engine/instances/membership.py `_verify`: after a gap one beat can't tell; it takes a second."""
    disowned_stopped: bool = True
    """engine/instances/membership.py `_verify`: executions whose rows are another's are stopped."""
