"""pg_cron, the real one: what it starts a host runs."""

from __future__ import annotations

from tests.cron import CronServer
from tests.hosts import Hosts, until

REPORT = "select outlast.start('welcome/report', idempotency_key => 'report-2026-11-27')"


def test_a_schedule_starts_a_workflow_that_a_host_runs(cron: CronServer, cron_hosts: Hosts) -> None:
    cron.rows("select cron.schedule('report', '0 6 * * *', %s)", REPORT)
    cron.reboot(REPORT)
    status = "select status, subject, claims ->> 'role', output from outlast.workflow_status"
    assert cron.rows(status) == [("ENQUEUED", None, "service_role", None)]
    cron_hosts.start()
    until(lambda: cron.rows(status) == [("SUCCESS", None, "service_role", "all is well")], "the report")
    cron.reboot(REPORT)  # the same day's key
    assert cron.rows("select count(*) from outlast.workflow_status") == [(1,)]
