"""What a person chose to see of the audit log and of the views."""

from datetime import date, datetime, time, timedelta
from typing import Annotated, Any
from urllib.parse import urlencode

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from client.audit_pages import Filter, Place


def _nothing(value: Any) -> Any:
    """Take an empty field of a form for none."""
    return None if value == "" else value


Day = Annotated[date | None, BeforeValidator(_nothing)]
Text = Annotated[str, Field(max_length=64)]


class Days(BaseModel):
    """Days of this machine's own time zone, both included; other fields of a form are not looked at."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    first: Day = None
    last: Day = None

    @property
    def start(self) -> datetime | None:
        """When the first day begins."""
        return None if self.first is None else datetime.combine(self.first, time()).astimezone()

    @property
    def end(self) -> datetime | None:
        """When the last day is over."""
        if self.last is None:
            return None
        return datetime.combine(self.last + timedelta(days=1), time()).astimezone()


class OfLog(Days):
    """Lines of the audit log, `before` a place in it."""

    event: Text = ""
    kind: Text = ""
    study: Text = ""
    before: Text = ""

    def filter(self) -> Filter:
        """Return what lines are compared with."""
        return Filter(self.event, self.kind, self.study, self.first, self.last)

    @property
    def place(self) -> Place | None:
        """Where the page begins; None for the end of the log."""
        return Place.read(self.before)

    def query(self, older: Place | None = None) -> str:
        """Write the choice as an address holds it; it names kinds, digests and days only."""
        values = {"event": self.event, "kind": self.kind, "study": self.study}
        values |= {"first": str(self.first or ""), "last": str(self.last or ""), "before": str(older or "")}
        return urlencode({key: value for key, value in values.items() if value})


class OfViews(Days):
    """Views of one account or of all, `before` one of them."""

    account: Text = ""
    before: Annotated[int | None, BeforeValidator(_nothing)] = None
