"""What the hospital's pages work on; stands at `request.app.state.hospital`."""

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Annotated

from fastapi import Depends, HTTPException, Request

from client.data.importing.pseudonyms import Pseudonyms
from client.predict.names import pseudonyms_of
from client.site import Site
from client.uploads.jobs import Jobs
from client.uploads.receiving import Receiver
from client.uploads.room import Room
from client.verdicts import Verdicts
from client.web.addresses import Addresses
from client.worklist import Worklist
from shared.database import Database
from shared.web.visit import Visit, needs

Reader = Annotated[Visit, Depends(needs("reader", "engineer"))]
QuietReader = Annotated[Visit, Depends(needs("reader", "engineer", quiet=True))]
Engineer = Annotated[Visit, Depends(needs("engineer"))]
Officer = Annotated[Visit, Depends(needs("officer", "engineer"))]


@dataclass
class Hospital:
    """The site and its stores, each opened once."""

    site: Site
    site_file: Path
    searches: dict[str, str] = field(default_factory=dict)  # by CSRF token: what is looked for on the list
    room: Room = field(init=False)
    receiver: Receiver = field(init=False)

    def __post_init__(self) -> None:
        """Count what comes in in one place only."""
        self.room = Room(self.site)
        self.receiver = Receiver(self.site, self.room)

    def close(self) -> None:
        """Close the stores that were opened."""
        for store in tuple(vars(self).values()):  # a request that still runs may open another
            if isinstance(store, Database):
                store.close()

    @cached_property
    def jobs(self) -> Jobs:
        """The queue of uploads; safe to use from several threads."""
        return Jobs.open(self.site)

    @cached_property
    def worklist(self) -> Worklist:
        """The worklist; safe to use from several threads."""
        return Worklist.open(self.site)

    @cached_property
    def verdicts(self) -> Verdicts:
        """What readers said of the results; safe to use from several threads."""
        return Verdicts.open(self.site)

    @cached_property
    def _pseudonyms(self) -> Pseudonyms:
        return pseudonyms_of(self.site)

    @cached_property
    def _addresses(self) -> Addresses:
        return Addresses(self.scan_name, self.worklist.cases)

    def scan_name(self, case: str) -> str:
        """Return how pages and addresses call a case: its keyed pseudonym, as predictions/ does."""
        return self._pseudonyms.of("case", case)

    def case_of(self, scan: str) -> str:
        """Return the case behind a pseudonym; 404 where the worklist has none."""
        case = self._addresses.case_of(scan)
        if case is None:
            raise HTTPException(404)
        return case


def hospital_of(request: Request) -> Hospital:
    """Return what the pages work on."""
    hospital: Hospital = request.app.state.hospital
    return hospital


Here = Annotated[Hospital, Depends(hospital_of)]
