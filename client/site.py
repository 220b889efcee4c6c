"""Site: the hospital's own YAML. Its policy always wins over the study."""

from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, model_validator

from shared.config import Config
from shared.study import Name
from shared.wire import RECORDS

RELEASES = tuple(kind for kind, spec in RECORDS.items() if spec.leaves_site)


class Policy(Config):
    """What may leave this hospital, whatever a study asks for."""

    minimum_patients: int = Field(default=10, ge=1, description="a sum over fewer patients is never released")
    release: tuple[str, ...] = Field(default=RELEASES, description="kinds of record that may leave")
    studies: tuple[Name, ...] | None = Field(
        default=None, description="names of the studies this site takes part in; None is any"
    )

    @model_validator(mode="after")
    def _known(self) -> Self:
        if unknown := set(self.release) - set(RELEASES):
            raise ValueError(f"release names {sorted(unknown)}, expected some of {list(RELEASES)}")
        return self


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
    device: str = "cpu"
    threads: Annotated[int, Field(ge=1)] = 1
    seismometer: bool = Field(default=True, description="write a seismometer report after each run")
    policy: Policy = Policy()

    @classmethod
    def read(cls, path: Path) -> Self:
        """Load site.yaml; relative paths in it are relative to its folder."""
        site = cls.load(path)
        base = path.resolve().parent
        moved = {"data": base / site.data, "work": base / site.work}
        if site.patients is not None:
            moved["patients"] = base / site.patients
        return site.model_copy(update=moved)
