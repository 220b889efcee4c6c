"""What site.yaml says about the worklist."""

from typing import Annotated

from pydantic import Field

from shared.config import Config
from shared.study import Positive


class LongestWait(Config):
    """Hours in a tier after which a scan is read as the next tier above; None: never.

    There is none for stat: it is the highest, and within it the longest wait comes first.
    """

    routine: Positive | None = 72.0
    urgent: Positive | None = 24.0
    asap: Positive | None = 4.0


class WorklistSettings(Config):
    """Where the worklist is kept and how long a scan may wait."""

    database: str | None = Field(
        default=None, description="SQLAlchemy URL; None is the SQLite file worklist.db in `work`"
    )
    longest_wait_h: LongestWait = LongestWait()
    reader: Annotated[str, Field(min_length=1, max_length=80)] | None = Field(
        default=None, description="who reads at this machine where no --reader is given"
    )
