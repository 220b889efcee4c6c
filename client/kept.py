"""What a site keeps between messages, in its own work folder: studies, prepared data, scored scans, its log.

Nothing is held in memory, because Flower may start a new process for each message.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from client.data import cache
from client.data.cache import SiteData
from client.scoring import Scored
from shared.errors import ConfigError, DataError
from shared.files import write_atomically
from shared.study import Study
from shared.sums import Sums
from shared.voxel_temperature import voxel_sums


@dataclass(frozen=True)
class ScanRow:
    """One scored scan; `outcome` is 1 urgent, 0 not, None unknown, `dice` one figure a class."""

    case: str
    patient: str
    split: str
    features: dict[str, float]
    outcome: int | None
    dice: tuple[float, ...]

    @classmethod
    def of(cls, scored: Scored) -> "ScanRow":
        """Keep of a scored scan what the priority fit and the reports need."""
        case = scored.case
        return cls(case.case, case.patient, case.split, scored.features, case.outcome, scored.dice)


@dataclass(frozen=True)
class Voxels:
    """One split's `voxel_sums`; `patients` is how many have voxels of the sort that fewer have."""

    sums: Sums
    patients: int

    @classmethod
    def of(cls, scored: Iterable[Scored]) -> "Voxels":
        """Sum over patients, who may have several scans; a sort of voxels that nobody has tells of nobody."""
        patients: dict[str, np.ndarray] = {}
        for one in scored:
            if one.voxels is not None:
                patients[one.case.patient] = patients.get(one.case.patient, 0) + one.voxels
        having = [sum(bool(counts[sort].any()) for counts in patients.values()) for sort in (0, 1)]
        return cls(voxel_sums(patients.values()), min((count for count in having if count), default=0))

    @classmethod
    def parse(cls, values: Mapping[str, Any]) -> "Voxels":
        """Read what `as_json` gave."""
        sums = {name: np.array(counts, np.int64) for name, counts in values["sums"].items()}
        return cls(Sums(sums), values["patients"])

    def as_json(self) -> dict[str, Any]:
        """Values for a file."""
        sums = {name: counts.tolist() for name, counts in self.sums.values.items()}
        return {"sums": sums, "patients": self.patients}


class Kept:
    """One site's kept state; every file appears whole or not at all."""

    def __init__(self, work: Path) -> None:
        self._work = work

    @property
    def cache_folder(self) -> Path:
        """Prepared scans, by content hash."""
        return self._work / "cache"

    def keep_study(self, study: Study) -> None:
        """Remember a study that this site has agreed to."""
        with write_atomically(self._study_path(study.digest())) as path:
            path.write_text(study.to_yaml(), encoding="utf-8")

    def study(self, digest: str) -> Study:
        """Read an agreed study; raise ConfigError when this site has not enrolled in it."""
        path = self._study_path(digest)
        if not path.exists():
            raise ConfigError(f"this site has not enrolled in study {digest[:12]}...; enrol first.")
        return Study.load(path)

    def data(self, study: Study) -> SiteData:
        """Read what enrolment prepared."""
        return cache.load(self.cache_folder, study)

    def keep_scans(self, study: Study, scored: Iterable[Scored]) -> None:
        """Remember the final model's features of each scan; other studies keep their own."""
        rows = [vars(ScanRow.of(one)) for one in scored]
        with write_atomically(self._scans_path(study)) as path:
            path.write_text(json.dumps(rows), encoding="utf-8")

    def scans(self, study: Study) -> list[ScanRow]:
        """Read them back; raise DataError before the final evaluation."""
        path = self._scans_path(study)
        if not path.exists():
            raise DataError(f"{path} does not exist: the final evaluation has not run at this site.")
        rows = json.loads(path.read_text(encoding="utf-8"))
        return [ScanRow(**{**row, "dice": tuple(row["dice"])}) for row in rows]

    def outcomes(self, study: Study, split: str) -> tuple[Sequence[ScanRow], np.ndarray]:
        """Read the scans of a split whose outcome is known, and the outcomes (n,) as 0.0 or 1.0."""
        rows = [row for row in self.scans(study) if row.split == split and row.outcome is not None]
        return rows, np.array([row.outcome for row in rows], dtype=np.float64)

    def keep_voxels(self, study: Study, scored: Sequence[Scored]) -> None:
        """Remember what `voxels` reads, by split: sums over patients, no scan's own."""
        splits = {one.case.split for one in scored}
        found = {split: Voxels.of(one for one in scored if one.case.split == split) for split in splits}
        with write_atomically(self._voxels_path(study)) as path:
            path.write_text(json.dumps({split: v.as_json() for split, v in found.items()}), encoding="utf-8")

    def voxels(self, study: Study, split: str) -> Voxels:
        """Read a split's counts of voxels, none where it has no patients; DataError as `scans`."""
        path = self._voxels_path(study)
        if not path.exists():
            raise DataError(f"{path} does not exist: the final evaluation has not run at this site.")
        found = json.loads(path.read_text(encoding="utf-8"))
        return Voxels.parse(found[split]) if split in found else Voxels.of([])

    def _study_path(self, digest: str) -> Path:
        return self._work / "studies" / f"{digest}.yaml"

    def _scans_path(self, study: Study) -> Path:
        return self._study_path(study.digest()).with_suffix(".scans.json")

    def _voxels_path(self, study: Study) -> Path:
        return self._study_path(study.digest()).with_suffix(".voxels.json")
