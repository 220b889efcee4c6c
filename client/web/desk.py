"""What the pages Studies and Privacy share; stands at `request.app.state.desk`."""

from dataclasses import dataclass
from functools import cached_property
from typing import Annotated

from fastapi import Depends, Request

from client.approvals import Approvals
from client.audit import Audit
from client.audit_totals import Summing
from client.site import Site
from client.web.aside import Aside
from client.web.elsewhere import Elsewhere
from client.web.hospital import Hospital
from shared.errors import ConfigError
from shared.study import Study
from shared.web.visit import Visit, needs

QuietOfficer = Annotated[Visit, Depends(needs("officer", "engineer", quiet=True))]


@dataclass
class Desk:
    """One site's decisions, its log, and who is asked about them."""

    hospital: Hospital

    @property
    def site(self) -> Site:
        """The site."""
        return self.hospital.site

    @cached_property
    def audit(self) -> Audit:
        """The audit log."""
        return Audit(self.site.work / "audit.jsonl")

    @cached_property
    def approvals(self) -> Approvals:
        """The decisions about studies."""
        return Approvals(self.site.work, self.audit)

    @cached_property
    def log(self) -> Summing:
        """Totals of the audit log."""
        return Summing(self.audit.path)

    @cached_property
    def elsewhere(self) -> Elsewhere:
        """What the coordinator says."""
        return Elsewhere(self.site)

    @cached_property
    def aside(self) -> Aside:
        """Commands that take seconds."""
        return Aside(self.hospital.site_file)

    def study(self, digest: str) -> Study | None:
        """Find a study by its digest: it waits, was decided about, is agreed to, or the coordinator asks."""
        for one in self.approvals.pending():
            if one.study.digest() == digest:
                return one.study
        if (decided := self.approvals.decided(digest)) is not None:
            return decided
        path = self.site.work / "studies" / f"{digest}.yaml"
        if path.exists():
            try:
                return Study.load(path)
            except ConfigError:  # of another version
                return None
        return (self.elsewhere.told().studies or {}).get(digest)


def desk_of(request: Request) -> Desk:
    """Return the desk of the app."""
    desk: Desk = request.app.state.desk
    return desk


AtDesk = Annotated[Desk, Depends(desk_of)]
