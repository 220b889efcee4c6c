"""The tables of `coordinator status`, in the narrowest terminal that people use."""

import io

from rich.console import Console

from server.status_tables import tables
from shared.control import control_pb2 as pb


def test_no_name_and_no_reason_is_cut_off_at_80_columns() -> None:
    site, reason, run = "university-hospital-north", "policy.minimum_patients", "liver-tumours-2026-0c7eba"
    status = pb.Status(
        sites=[pb.SiteStatus(name=site, online=True, problem="version", version="0.1.0", last_seen=1.8e9)],
        runs=[
            pb.RunStatus(
                id=run,
                state="running",
                phase="enrolment",
                rounds=12,
                awaited=[site],
                sites=[pb.RunSite(name=site, state="refused", reason=reason)],
            )
        ],
    )
    page = io.StringIO()
    Console(file=page, width=80).print(tables(status))
    shown = page.getvalue()
    assert "…" not in shown
    assert max(map(len, shown.splitlines())) <= 80
