"""Whether an uncertainty tells where a model errs: the area under the error-detection curve, from sums.

The curve shows, as the bound on uncertainty falls, which share of the wrong cases lies above it against
which share of the right ones; its area is the probability that a wrong case is less sure than a right one
(Hendrycks and Gimpel 2017, arXiv 1610.02136). At 0.5 the figure tells nothing. A case is a scan or a finding.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from shared.errors import DataError
from shared.metrics import auroc_from_histograms
from shared.sums import FloatArray, Sums, bin_index


def error_sums(uncertainty: FloatArray, wrong: npt.NDArray[Any], *, bins: int) -> Sums:
    """Count the wrong and the right cases per equal-width bin of `uncertainty` (n,) in 0..1.

    Raises
    ------
    DataError
        Shapes differ, or an uncertainty is outside 0..1.
    """
    doubt, is_wrong = np.asarray(uncertainty, dtype=np.float64), np.asarray(wrong, dtype=bool)
    if doubt.shape != is_wrong.shape or doubt.ndim != 1:
        raise DataError(
            f"uncertainty and wrong must have one shape (n,), found {doubt.shape} and {is_wrong.shape}"
        )
    index = bin_index(doubt, bins=bins)
    return Sums(
        {
            "wrong": np.bincount(index[is_wrong], minlength=bins),
            "right": np.bincount(index[~is_wrong], minlength=bins),
        }
    )


def error_shapes(bins: int) -> dict[str, tuple[int, ...]]:
    """Names and shapes of `error_sums`, int64 counts."""
    return {"wrong": (bins,), "right": (bins,)}


def finish_errors(sums: Sums) -> dict[str, Any]:
    """JSON-ready: `cases`, `errors`, `area` and its `area_bound`, which the bins may be off by.

    Both areas are None where all cases are wrong, or none.
    """
    wrong, right = sums["wrong"], sums["right"]
    area, bound = auroc_from_histograms(wrong, right)
    return {
        "cases": int(wrong.sum() + right.sum()),
        "errors": int(wrong.sum()),
        "area": area,
        "area_bound": bound,
    }
