"""The temperature of the segmentation's probabilities, from the voxels that sites count.

The counts are asked for in the message of the final evaluation, which makes them. The temperature is fitted
on validation patients and judged on test patients.
"""

from collections.abc import Sequence

from server.calibration.exchange import FIT_SPLIT, JUDGED_SPLIT
from server.federation import Answer, Federation, Question
from server.scores import VoxelCalibration, VoxelFigures
from shared.errors import FederationError
from shared.sums import Sums
from shared.voxel_temperature import VoxelTemperature, fit, judge, patients_of, voxel_shapes, worsens_findings
from shared.wire import Record

PHASE = "voxel temperature"


class VoxelCounts:
    """The `questions` to each site, none where the study asks for no temperature, and the sums they give."""

    def __init__(self, federation: Federation) -> None:
        self._federation = federation
        digest = federation.study.digest()
        splits = (FIT_SPLIT, JUDGED_SPLIT) if federation.study.calibrates_voxels else ()
        self._by_split = {
            split: Question(PHASE, Record("voxels", {"study_digest": digest, "split": split}), "voxel_counts")
            for split in splits
        }
        self._sums: dict[str, dict[str, Sums]] = {split: {} for split in splits}

    @property
    def questions(self) -> Sequence[Question]:
        """One for each split."""
        return tuple(self._by_split.values())

    def add(self, answer: Answer) -> None:
        """Take one answer of the exchange; those to other questions are passed over."""
        for split, question in self._by_split.items():
            if answer.question is question:
                found = self._federation.sums(answer, voxel_shapes())
                if found is not None:
                    self._sums[split][answer.seat.site] = found

    def fitted(self) -> tuple[VoxelTemperature | None, VoxelCalibration | None]:
        """Fit and judge; nothing where no site released counts.

        A temperature that cannot be found, or that would make findings less believable, is told and not used.
        """
        fitted, judged = self._sums.get(FIT_SPLIT), self._sums.get(JUDGED_SPLIT)
        if not fitted:
            return None, None
        counts = Sums.total(fitted.values())
        try:
            found = fit(counts, study=self._federation.study.digest())
        except FederationError:
            found = None  # the model stands with the probabilities that the network gives
        used = found is not None and not worsens_findings(counts, found.temperature)
        total = Sums.total(judged.values()) if judged else None
        return found if used else None, VoxelCalibration(
            temperature=None if found is None else found.temperature,
            low=None if found is None else found.low,
            high=None if found is None else found.high,
            patients=patients_of(counts),
            used=used,
            sites=tuple(sorted(fitted)),
            judged=tuple(sorted(judged or ())),
            before=None if total is None else VoxelFigures.model_validate(judge(total)),
            after=None
            if total is None or found is None
            else VoxelFigures.model_validate(judge(total, found.temperature)),
        )
