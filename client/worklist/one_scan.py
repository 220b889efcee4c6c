"""All that the worklist knows of one scan, and of the others of its patient."""

from sqlalchemy import select

from client.result import PriorityFound
from client.worklist.listing import Listing
from client.worklist.records import Row
from client.worklist.tables import STATES, PriorityRow, ScanRow


class OneScan(Listing):
    """Looks at one scan."""

    def row(self, case: str) -> Row:
        """Return the line of one scan; raises CaseError ``not_listed``."""
        self._row(case)
        return self.rows(states=STATES, cases=(case,))[0]

    def source_digest(self, case: str) -> str:
        """Return which result is listed, as `Result.source_digest`; raises CaseError ``not_listed``."""
        return self._row(case).source_digest

    def newest_priority(self, case: str) -> PriorityFound | None:
        """Return the priority that counts, with its reasons; raises CaseError ``not_listed``."""
        number = self._row(case).priority
        with self._reading() as session:
            row = None if number is None else session.get(PriorityRow, number)
            return None if row is None else PriorityFound.model_validate_json(row.found)

    def others_of_patient(self, case: str) -> list[Row]:
        """Return the other scans of the same patient, the last to arrive first; raises as `row`."""
        query = select(ScanRow.case).where(ScanRow.patient == self._row(case).patient, ScanRow.case != case)
        with self._reading() as session:
            cases = frozenset(session.scalars(query))
        rows = self.rows(states=STATES, cases=cases) if cases else []
        return sorted(rows, key=lambda row: row.arrived, reverse=True)
