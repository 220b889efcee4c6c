"""A temperature for the segmentation's own probabilities: softmax(a z) instead of softmax(z), a = 1/T.

Guo et al., "On Calibration of Modern Neural Networks", ICML 2017. The negative log likelihood is convex in a
and has two derivatives that are sums over patients, so that a Newton fit in one number is exact. A
temperature changes how sure the network says it is, never which class it prefers.
"""

import numpy as np
import numpy.typing as npt
from scipy.special import logsumexp

from shared.errors import CaseError, FederationError
from shared.newton import Gather, fit_newton
from shared.sums import FloatArray, Sums

AT_ONCE = 2**18
"""Voxels that are worked on at once, so that a large scan needs little further memory."""

LOWEST = 1e-7  # float32 probabilities below this are rounding


def voxel_temperature_sums(
    probabilities: npt.NDArray[np.floating], label: npt.NDArray[np.integer], a: FloatArray
) -> Sums:
    """Mean over one patient's voxels of -log softmax(a z)[label] and its derivatives, z = log probability.

    Logits differ from z by a constant a voxel, which softmax does not see. A mean, so that a patient with
    a large scan counts as any other.

    Parameters
    ----------
    probabilities
        (classes, ...), background first; or any z with its exponential taken.
    label
        (...), 0..classes-1; other values, such as unlabelled voxels, are left out.
    a
        (1,).

    Returns
    -------
    Sums
        ``patients`` 1, ``loss`` (), ``gradient`` (1,), ``hessian`` (1, 1), as `logistic_sums`. A patient
        without any labelled voxel counts 0 in all of them.

    Raises
    ------
    CaseError
        ``shape``: label and probabilities are of different grids.
    """
    classes = len(probabilities)
    if probabilities.shape[1:] != label.shape:
        raise CaseError(
            "shape", f"label {label.shape} is not on the grid of the probabilities {probabilities.shape[1:]}."
        )
    p, y = probabilities.reshape(classes, -1), label.ravel()
    total, voxels = np.zeros(3), 0
    for start in range(0, y.size, AT_ONCE):
        some = slice(start, start + AT_ONCE)
        labelled = (y[some] >= 0) & (y[some] < classes)
        z = np.log(np.maximum(p[:, some][:, labelled].astype(np.float64), LOWEST))
        own = np.take_along_axis(z, y[some][labelled].astype(np.intp)[None], axis=0)[0]
        weight = np.exp(a * z - logsumexp(a * z, axis=0))
        mean = np.sum(weight * z, axis=0)
        total += (
            np.sum(logsumexp(a * z, axis=0) - a * own),
            np.sum(mean - own),
            np.sum(weight * (z - mean) ** 2),
        )
        voxels += len(own)
    loss, gradient, hessian = total / max(1, voxels)
    return Sums(
        {
            "patients": np.array(int(voxels > 0)),
            "loss": np.array(loss),
            "gradient": np.array([gradient]),
            "hessian": np.array([[hessian]]),
        }
    )


def fit_temperature(gather: Gather, *, max_steps: int = 50) -> float:
    """Fit T = 1/a; `gather` maps a (1,) to the total of the patients' `voxel_temperature_sums`.

    Raises
    ------
    FederationError
        No patients, no finite optimum, or one at which the network had better say the opposite (a <= 0).
    """
    fit = fit_newton(gather, names=["a"], penalised=np.array([False]), ridge=0.0, max_steps=max_steps)
    a = float(fit.coefficients[0])
    if not fit.converged or a <= 0:
        raise FederationError(
            f"found no temperature (a = {a:.3g}, converged {fit.converged}), expected a finite a > 0. "
            "Check that the network segments better than chance before calibrating it."
        )
    return 1 / a
