"""One look at the worklist: by the calibration in use, in order, with what should be known of it."""

from collections.abc import Collection

from client.site import Site
from client.site_log import site_log
from client.worklist import OPEN, Worklist
from client.worklist.drifting import drift_seen
from client.worklist.export import Listed
from client.worklist.model_in_use import ModelInUse
from shared.database import utc_now
from shared.errors import ConfigError


def look(
    worklist: Worklist, site: Site, *, states: Collection[str] = OPEN, limit: int | None = None
) -> Listed:
    """List the scans in these states, by the model in use as `brought_up_to_date` finds it."""
    model, notes = brought_up_to_date(worklist, site)
    now = utc_now()
    return Listed(
        site=site.name,
        now=now,
        rows=worklist.rows(now, states=states, limit=limit),
        counts=worklist.counts(),
        weights_digest=None if model is None else model.weights_digest,
        calibration_digest=None if model is None else model.calibration_digest,
        drift=drift_seen(worklist, model),
        notes=tuple(notes),
    )


def brought_up_to_date(worklist: Worklist, site: Site) -> tuple[ModelInUse | None, list[str]]:
    """Score the scans not yet read anew if the calibration changed; return the model in use and notes.

    A model folder that is damaged does not hide the list: the scans keep what they have, and it is said.
    """
    try:
        model = ModelInUse.read(site.work / "model")
        return model, _up_to_date(worklist, site, model)
    except ConfigError as error:
        return None, [str(error)]


def _up_to_date(worklist: Worklist, site: Site, model: ModelInUse | None) -> list[str]:
    if model is None or not worklist.is_outdated(model):
        return []
    done = worklist.reprioritise(model)
    for case, why in done.failed.items():
        site_log(site).warning("%s keeps its priority under the new calibration: %s", case, why)
    notes = [f"{done.changed} scored anew: the calibration changed"] if done.changed else []
    if done.failed:
        notes.append(f"{len(done.failed)} could not be scored anew, such as {min(done.failed)}: see site.log")
    return notes
