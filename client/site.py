"""Site: the hospital's own YAML. Its policy (client/policy.py) always wins over the study."""

from pathlib import Path
from typing import Annotated, Self

from pydantic import Field

from client.data.limits import Limits
from client.policy import Policy
from client.upload_settings import UploadSettings
from client.worklist_settings import WorklistSettings
from shared.config import Config
from shared.study import Name
from shared.web.settings import Pages


class Site(Config):
    """One hospital's node: where its scans lie, what it may use, what may leave."""

    name: Name
    data: Path = Field(description="folder with the scans; only ever read")
    layout: str | None = Field(default=None, description="data set layout; None recognises it")
    patients: Path | None = Field(default=None, description="CSV of patients, history and outcomes")
    one_patient_per_case: bool = Field(
        default=False,
        description="states that every case is another person; needed for private training without a table",
    )
    work: Path = Field(description="folder for cache, logs, audit, worklist; stays at the hospital")
    limits: Limits = Field(default=Limits(), description="how much one scan may ask of this machine")
    device: str = "cpu"
    threads: Annotated[int, Field(ge=1)] = 1
    poll_s: Annotated[float, Field(ge=0.05, le=60)] = Field(
        default=0.5, description="seconds between two requests to the coordinator for work"
    )
    seismometer: bool = Field(default=True, description="write a seismometer report after each run")
    worklist: WorklistSettings = WorklistSettings()
    uploads: UploadSettings = UploadSettings()
    pages: Pages = Pages()
    policy: Policy = Policy()

    @classmethod
    def read(cls, path: Path) -> Self:
        """Load site.yaml; relative paths in it are relative to its folder."""
        site = cls.load(path)
        base = path.resolve().parent
        moved = {"data": base / site.data, "work": base / site.work, "pages": site.pages.in_folder(base)}
        if site.patients is not None:
            moved["patients"] = base / site.patients
        return site.model_copy(update=moved)

    def make_work(self) -> Path:
        """Make the `work` folder, open to its owner only; one that exists is left as the hospital made it."""
        self.work.mkdir(parents=True, exist_ok=True, mode=0o700)
        return self.work
