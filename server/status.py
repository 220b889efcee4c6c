"""Where everything stands, put together from the store, from Flower and from each run's status.json."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from server.board import RunStatus
from server.settings import Coordinator
from server.store import OPEN, RunRow, SiteRow, Store
from shared.control import control_pb2 as pb
from shared.errors import ConfigError

BoardOf = Callable[[str], RunStatus | None]
"""What the board of a run says; None before the run has begun."""


def snapshot(
    store: Store, *, online: set[bytes], board: BoardOf, run: str = "", site: str | None = None
) -> pb.Status:
    """Put the status together; `online` holds the public keys of the nodes that are connected.

    With `site` it holds of the sites only this one, as a hospital may see it; with `run` only that run.
    What each site did in a run that is over is told only where that run is asked for by name.
    Raises ConfigError for a run that does not exist.
    """
    runs = [store.run(run)] if run else store.runs()
    sites = [row for row in store.sites() if site in {None, row.name}]
    return pb.Status(
        server_time=datetime.now(UTC).timestamp(),
        sites=[_site(row, row.public_key in online) for row in sites],
        runs=[_run(row, board(row.id) if run or row.state in OPEN else None, site) for row in runs],
    )


def boards(settings: Coordinator) -> BoardOf:
    """Read the boards of the coordinator's folder."""

    def read(run: str) -> RunStatus | None:
        path = settings.run_folder(run) / "status.json"
        try:
            return RunStatus.read(path) if path.exists() else None
        except ConfigError:
            return None  # of another version; the store still knows the run's state

    return read


def open_runs(rows: Sequence[RunRow]) -> list[pb.RunStudy]:
    """Studies of runs as a site asks for them."""
    return [
        pb.RunStudy(run=row.id, state=row.state, digest=row.study_digest, study=row.study_yaml)
        for row in rows
    ]


def _site(row: SiteRow, online: bool) -> pb.SiteStatus:
    return pb.SiteStatus(
        name=row.name,
        online=online and row.revoked_at is None,
        enrolled=row.enrolled_at.timestamp(),
        revoked=_seconds(row.revoked_at),
        problem=row.problem or "",
        last_seen=_seconds(row.last_seen),
        version=row.version or "",
    )


def _run(row: RunRow, found: RunStatus | None, site: str | None) -> pb.RunStatus:
    shown = pb.RunStatus(id=row.id, study=row.study_name, state=row.state, reason=row.reason or "")
    if found is None:
        return shown
    shown.phase, shown.round, shown.rounds = found.phase, found.round, found.rounds
    shown.reason = shown.reason or found.error or ""
    for name, now in sorted(found.sites.items()):
        if site in {None, name}:
            shown.sites.append(
                pb.RunSite(
                    name=name,
                    state=now.state,
                    reason=now.reason or "",
                    patients=now.patients,
                    seconds=now.seconds,
                    bytes_up=now.bytes_up,
                    bytes_down=now.bytes_down,
                )
            )
    shown.awaited.extend(name for name in found.awaited if site in {None, name})
    return shown


def _seconds(time: datetime | None) -> float:
    return time.timestamp() if time else 0.0
