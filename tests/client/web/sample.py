"""A hospital with read scans on its worklist, for tests of the pages and for looking at them by hand.

By hand: `python -m tests.client.web.sample FOLDER`, then `wardround site serve FOLDER/site.yaml`.
"""

import sys
from contextlib import closing
from pathlib import Path
from unittest.mock import patch

import nibabel as nib

from client.predict.run import Request, predict
from client.site import Site
from client.worklist import Worklist
from shared.model import TrainedModel
from tests.client.predict.readings import AFFINES, dicom_series, likely, model_of, scene

NAMES = ("Okafor_1", "Lindqvist_2", "Haddad_3")
"""Names as they should not leave a list: tests look for them in addresses, titles and logs."""
ACCOUNT, PASSWORD = "amal", "correct horse battery staple"


def make(folder: Path) -> Path:
    """Write a hospital with three NIfTI scans and a DICOM series, read and listed; returns its site.yaml."""
    data = folder / "data"
    data.mkdir(parents=True)
    for number, name in enumerate(NAMES):
        image = scene()
        if number:
            image[5:9, 4:10, 2:5] -= 90 * number  # fainter findings further down the list
        nib.save(nib.Nifti1Image(image, AFFINES["oblique"]), data / f"{name}.nii.gz")
    dicom_series(data / "series", AFFINES["straight"])
    rows = [f"{name},patient of {name},{50 + 5 * number}" for number, name in enumerate(NAMES)]
    (data / "history.csv").write_text("\n".join(["case,patient,age", *rows]) + "\n", encoding="utf-8")
    site_file = folder / "site.yaml"
    site_file.write_text(
        "name: north\ndata: data\nwork: work\npatients: data/history.csv\nseismometer: false\n",
        encoding="utf-8",
    )
    site = Site.read(site_file)
    model = model_of()
    model.save(site.make_work() / "model")
    read(site, model, *sorted(data.glob("*.nii.gz")), data / "series")
    return site_file


def read(site: Site, model: TrainedModel, *scans: Path) -> None:
    """Read scans by a network that sees what is bright, and list them."""
    with patch("client.uncertainty.probabilities", likely), closing(Worklist.open(site)) as worklist:
        predict(site, model, Request(scans), done=lambda result, path: worklist.put(result, path=path))


if __name__ == "__main__":
    sys.stdout.write(f"{make(Path(sys.argv[1]))}\n")
