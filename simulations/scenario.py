"""A scenario: one study, the sites that take part, and what the researcher wants to compare."""

import os
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import Field, model_validator

from client.data import layouts
from client.policy import Policy
from shared.config import Config, read_yaml
from shared.errors import ConfigError, DataError
from shared.study import Fraction, Name, Size, Study
from simulations.anatomy import SiteShift

REAL_DATA_VARIABLE = "WARDROUND_REAL_DATA"


class PhantomHospital(Config):
    """A simulated hospital: its patients and scanner, and how many of its files to damage on purpose."""

    patients: int = Field(ge=1)
    shift: SiteShift = SiteShift()
    damaged: int = Field(default=0, ge=0, description="files broken in as many ways as there are")


class Phantoms(Config):
    """Hospitals drawn by simulations/phantoms.py."""

    kind: Literal["phantoms"]
    shape: Size = (32, 32, 24)
    seed: int = Field(default=0, ge=0)
    hospitals: dict[Name, PhantomHospital] = Field(min_length=1)


class Folder(Config):
    """One real data set, dealt out to sites by `simulations/partition.py`."""

    kind: Literal["folder"]
    folder: str = Field(default="", description=f"below --data, or else below ${REAL_DATA_VARIABLE}")
    layout: str | None = Field(default=None, description="how it is arranged; None recognises it")
    shares: dict[Name, Fraction] = Field(min_length=1, description="part of the cases each site holds")
    by: Literal["intensity", "volume", "name"] = Field(
        description="property that shifts from site to site; name: none, and nothing is decoded for it"
    )
    mixing: float = Field(default=0.25, ge=0, description="0 sorts strictly, 1 and more mixes")
    seed: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if abs(sum(self.shares.values()) - 1) > 1e-9:
            raise ValueError(f"shares must add up to 1, found {sum(self.shares.values())}")
        return self


class Fault(Config):
    """Something that goes wrong with one site's training replies, in `rounds` or in all of them."""

    kind: Literal["late", "nan"]
    rounds: tuple[int, ...] | None = None
    seconds: float = Field(default=0.0, ge=0, description="late: how long the reply is held back")


class Scenario(Config):
    """Everything `wardround simulate` needs."""

    study: Study
    sites: Annotated[Phantoms | Folder, Field(discriminator="kind")]
    policy: Policy = Field(default=Policy(studies="any"), description="of every site; `ask` counts as any")
    baselines: tuple[Literal["local_only", "pooled_training"], ...] = ()
    faults: dict[Name, Fault] = Field(default={})
    workers: int = Field(default=2, ge=1, description="sites computing at the same time")
    threads_per_site: int = Field(default=1, ge=1)
    seismometer: bool = True
    worklist_scans: int = Field(
        default=0, ge=0, description="test scans of each site that the final model reads for its worklist"
    )

    @model_validator(mode="after")
    def _known_sites(self) -> Self:
        if unknown := set(self.faults) - set(self.names):
            raise ValueError(f"faults name {sorted(unknown)}, the sites are {self.names}")
        return self

    @property
    def names(self) -> list[str]:
        """Site names, sorted; a site's place in this list is its partition."""
        source = self.sites
        return sorted(source.hospitals if isinstance(source, Phantoms) else source.shares)

    @classmethod
    def read(cls, path: Path, settings: tuple[str, ...] = ()) -> Self:
        """Load a scenario and apply ``key.inner=value`` settings, whose values are YAML."""
        values = read_yaml(path)
        if not isinstance(values, dict):
            raise ConfigError(f"{path} must hold keys and values, found {type(values).__name__}.")
        for setting in settings:
            _apply(values, setting)
        return cls.parse(values, str(path))


def real_data(source: Folder, data: Path | None) -> Path:
    """Find the folder of a scenario's real scans, in any layout.

    Looked at are `source.folder` below `data`, or else below the folder that the environment names, and then
    that folder itself.

    Raises
    ------
    ConfigError
        No such folder, or none of a known layout; says which were looked for and what to give.
    """
    if data is None:
        root = os.environ.get(REAL_DATA_VARIABLE)
        if root is None:
            raise ConfigError(f"this scenario needs real scans: give --data DIR or set {REAL_DATA_VARIABLE}.")
        data = Path(root)
    candidates = list(dict.fromkeys((data / source.folder, data)))
    faults = []
    for candidate in candidates:
        if candidate.is_dir():
            try:
                layouts.find(candidate, source.layout)
            except DataError as error:
                faults.append(str(error))
            else:
                return candidate
    missing = f"there is no folder {' and no '.join(map(str, candidates))}."
    raise ConfigError(
        f"{' '.join(faults) or missing} Give --data DIR, the folder that holds the scans, and say its layout "
        "with --set sites.layout=NAME where it is not recognised."
    )


def _apply(values: dict[str, Any], setting: str) -> None:
    key, separator, text = setting.partition("=")
    if not separator or not key:
        raise ConfigError(
            f"--set takes key=value, found {setting!r}; for example --set study.training.rounds=3."
        )
    *path, last = key.split(".")
    place = values
    for part in path:
        place = place.setdefault(part, {})
        if not isinstance(place, dict):
            raise ConfigError(f"--set {key}: {part} is not a section of the scenario.")
    try:
        place[last] = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"--set {key}: {text!r} is not a YAML value: {error}") from error
