"""One scan explained: key slices, the attribution of its largest finding, and its page, in its folder."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
from torch import nn

from client.predict.masks import write_mask
from client.reasons.attribution import attribution
from client.reasons.page import write_page
from client.reasons.pictures import key_slices
from client.result import Result
from shared.study import Study

PAGE = "page.html"
ATTRIBUTION = "attribution.nii.gz"


def explain(
    folder: Path,
    result: Result,
    net: nn.Module,
    study: Study,
    *,
    image: np.ndarray,
    score: npt.NDArray[np.float32],
    numbers: npt.NDArray[np.integer],
    affine: npt.NDArray[np.float64],
) -> dict[str, str]:
    """Write the page of `result` and the attribution map into `folder`; returns their names, by kind.

    Parameters
    ----------
    image : (C, X, Y, Z) float32, prepared
    score : (X, Y, Z), summed probability of the finding classes
    numbers : (X, Y, Z), at each voxel the number of its finding, 0 where there is none
    affine : (4, 4), of the prepared grid, from index to RAS millimetres
    """
    attributed = attribution(net, image, numbers == 1, study)
    pictures = key_slices(
        image,
        score,
        numbers,
        result.findings,
        affine=affine,
        attributions={} if attributed is None else {1: attributed},
    )
    write_page(folder / PAGE, result, pictures, notes=[] if attributed is None else [attributed.text])
    files = {"page": PAGE}
    if attributed is not None:
        values, at = attributed.within(affine)
        write_mask(folder / ATTRIBUTION, values, at)
        files["attribution"] = ATTRIBUTION
    return files
