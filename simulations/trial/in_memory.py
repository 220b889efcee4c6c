"""Sites that hold rows in memory, calibrated by the coordinator's own code without a message being sent."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from client.calibrating import Calibrating
from client.kept import ScanRow
from server.enrolment import Seat
from server.federation import Answer, Asked, Federation
from server.messages import Reply
from server.results import Patients
from shared.study import Study
from shared.wire import Record, Scalar


@dataclass
class RowsSite:
    """One site's rows by split, answering what client.node answers of the priority."""

    name: str
    splits: Mapping[str, Calibrating]
    minimum_patients: int

    def answer(self, record: Record) -> Record:
        """Answer one instruction; fewer patients than the minimum are a failure, as at the gate."""
        found, arrays = self.splits[record.text("split")], record.arrays
        fields: dict[str, Scalar] = {"site": self.name, "patients": found.patients}
        if record.kind == "newton":
            kind, sums = "derivatives", found.derivatives(arrays["coefficients"])
            fields["judged"] = found.judged
        elif record.kind == "newton_map":
            kind = "derivatives"
            text = record.text("calibration")
            sums = found.map_derivatives(arrays["scores"], arrays["coefficients"], text)
            fields["judged"] = found.judged
        elif record.kind == "held_out":
            kind, sums = "held_out_losses", found.losses(arrays["scores"], record.text("maps"))
            fields["patients"] = found.judged
        elif record.kind == "histograms":
            kind = "score_histograms"
            sums, fields["patients"] = found.histograms(arrays["scores"], record.text("calibration"))
        else:
            calibrated = record.text("calibration") if record.fields["calibrated"] else None
            kind, sums = "reliability_bins", found.reliability(arrays["coefficients"], calibrated)
        if int(fields["patients"]) < self.minimum_patients:
            return Record("failure", {"site": self.name, "code": "policy.minimum_patients", "cases": 0})
        return Record(kind, fields, sums.to_arrays())


def calibrating(study: Study, rows: Sequence[ScanRow], *, split: str, minimum_patients: int) -> Calibrating:
    """Take the rows of one split, all of known outcome."""
    outcome = np.array([row.outcome for row in rows], dtype=np.float64)
    return Calibrating(study, rows, outcome, split=split, minimum_patients=minimum_patients)


class InMemory(Federation):
    """A federation of such sites: every question is answered at once."""

    def __init__(self, study: Study, sites: Sequence[RowsSite]) -> None:
        nobody = Patients(train=0, validation=0, test=0)
        seats = {n: Seat(n, site.name, nobody, (), "patient") for n, site in enumerate(sites, start=1)}
        super().__init__(None, study, seats=seats)  # type: ignore[arg-type]  # nothing is sent
        self._sites: Mapping[int, RowsSite] = dict(enumerate(sites, start=1))

    def ask(self, asked: Asked) -> Iterator[Answer]:
        """Answer each question where it is asked."""
        for node, questions in asked.items():
            records = tuple(self._sites[node].answer(question.record) for question in questions)
            yield from self._answers(Reply(node, records, None, 0.0), questions)
