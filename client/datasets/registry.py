"""Which data sets there are: the one that site.yaml names, and those that an engineer added by hand."""

import os
import secrets
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

from pydantic import Field

from client.data import layouts
from client.data.inspection.folder import PATIENTS
from client.data.patients import PatientTable
from client.site import Site
from shared.config import Config
from shared.errors import ConfigError
from shared.files import private_folder, write_atomically
from shared.study import Name

OWN = "site"
FOLDER = "datasets"


class DataSet(Config):
    """One data set. `archive`: a zip that is first imported into `folder`. The own has no `by`."""

    id: str
    name: str
    folder: Path
    layout: str | None = None
    patients: Path | None = None
    archive: Path | None = None
    by: str | None = None
    added: datetime | None = None
    hidden: bool = False

    @property
    def is_own(self) -> bool:
        """Whether site.yaml names it."""
        return self.id == OWN

    @property
    def table(self) -> Path | None:
        """Its patients table: the own set has none but what site.yaml says, as the node reads it."""
        beside = self.folder / PATIENTS
        return self.patients or (beside if not self.is_own and beside.is_file() else None)


class Asked(Config):
    """What an engineer types to add a folder."""

    name: Name
    folder: Annotated[str, Field(min_length=1, max_length=4096)]
    layout: str | None = None
    patients: str | None = None


class Registry:
    """The data sets of a site; its own is read from `site_file` at each look."""

    def __init__(self, site_file: Path) -> None:
        self._site_file = site_file
        self._records = Site.read(site_file).work / "pages" / FOLDER

    def own(self) -> DataSet:
        """Return the data set that studies use."""
        site = Site.read(self._site_file)
        return DataSet(
            id=OWN, name=site.name, folder=site.data.absolute(), layout=site.layout, patients=site.patients
        )

    def others(self) -> list[DataSet]:
        """Return those that were added, the newest first."""
        found = [DataSet.model_validate_json(path.read_bytes()) for path in self._records.glob("*.json")]
        return sorted((one for one in found if not one.hidden), key=lambda one: str(one.added), reverse=True)

    def find(self, dataset: str) -> DataSet | None:
        """Return one of them; None for an id that there is not."""
        if dataset == OWN:
            return self.own()
        return next((one for one in self.others() if one.id == dataset), None)

    def add_folder(self, asked: Asked, by: str) -> DataSet:
        """Add a folder of this machine.

        Raises
        ------
        ConfigError
            No absolute path, no folder, one that cannot be read or that holds or lies in the site's own
            files, a name or a folder that is there already.
        DataError
            No layout is recognised, or the patients table is faulty.
        """
        folder = _existing(asked.folder, "folder")
        if not folder.is_dir() or not os.access(folder, os.R_OK | os.X_OK):
            raise ConfigError(f"{folder} is no folder that this program's account may read. Name another.")
        work = Site.read(self._site_file).work.resolve()
        if folder.is_relative_to(work) or work.is_relative_to(folder):
            raise ConfigError(f"{folder} and the site's own files in {work} lie in each other. Name another.")
        for known in (self.own(), *self.others()):
            if known.folder.resolve() == folder:
                raise ConfigError(f"{folder} is listed already, as {known.name}.")
        patients = _existing(asked.patients, "patients table") if asked.patients else None
        if patients is not None:
            PatientTable.load(patients)
        layouts.find(folder, asked.layout or None)
        return self._add(asked.name, by, folder=folder, layout=asked.layout or None, patients=patients)

    def add_archive(self, name: str, archive: Path, by: str) -> DataSet:
        """Add a zip, which is to be imported into a folder of its own."""
        folder = Site.read(self._site_file).work / FOLDER / name
        return self._add(name, by, folder=folder.absolute(), archive=archive)

    def check_name(self, name: str) -> None:
        """Raise ConfigError for a name that is taken or that no folder should have."""
        Asked.parse({"name": name, "folder": "-"}, "the name")
        taken = any(one.name == name for one in self._all())
        if taken or (Site.read(self._site_file).work / FOLDER / name).exists():
            raise ConfigError(f"a data set is called {name} already. Choose another name.")

    def imported(self, dataset: DataSet) -> None:
        """Remember that the zip of a data set is imported, and remove the zip."""
        self._write(dataset.model_copy(update={"archive": None}))
        if dataset.archive is not None:
            dataset.archive.unlink(missing_ok=True)

    def hide(self, dataset: DataSet) -> None:
        """Take a data set off the list; its files stay as they are."""
        self._write(dataset.model_copy(update={"hidden": True}))

    def _all(self) -> list[DataSet]:
        return [DataSet.model_validate_json(path.read_bytes()) for path in self._records.glob("*.json")]

    def _add(
        self,
        name: str,
        by: str,
        *,
        folder: Path,
        layout: str | None = None,
        patients: Path | None = None,
        archive: Path | None = None,
    ) -> DataSet:
        self.check_name(name)
        made = DataSet(
            id=secrets.token_hex(6),
            name=name,
            folder=folder,
            layout=layout,
            patients=patients,
            archive=archive,
            by=by,
            added=datetime.now(UTC),
        )
        self._write(made)
        return made

    def _write(self, dataset: DataSet) -> None:
        private_folder(self._records)
        with write_atomically(self._records / f"{dataset.id}.json", private=True) as path:
            path.write_text(dataset.model_dump_json(indent=1), encoding="utf-8")


def _existing(text: str, what: str) -> Path:
    path = Path(text.strip())
    if not path.is_absolute():
        raise ConfigError(f"found {text.strip()!r} as {what}, expected a whole path that begins with /.")
    if not path.exists():
        raise ConfigError(f"{path} does not exist on the machine that serves these pages. Correct the path.")
    return path.resolve()
