"""From a prepared scan to probabilities per class."""

import numpy as np
import torch
from monai.inferers import sliding_window_inference
from torch import nn

from shared.study import Study


@torch.inference_mode()
def probabilities(net: nn.Module, image: np.ndarray, study: Study) -> np.ndarray:
    """Class probabilities of one scan.

    Parameters
    ----------
    net : network in evaluation mode
    image : (channels, X, Y, Z) float32, prepared; X, Y (and Z in 3-D) multiples of the model's stride

    Returns
    -------
    (1 + classes, X, Y, Z) float32 in 0..1 that sum to 1 over the first axis, background first
    """
    device = next(net.parameters()).device
    volume = torch.from_numpy(np.array(image, dtype=np.float32)).to(device)
    if study.model.dimensions == 2:
        slices = volume.permute(3, 0, 1, 2)  # (Z, C, X, Y): each axial slice is an image of its own
        logits = _run(net, slices, study.training.window[:2], study).permute(1, 2, 3, 0)
    else:
        logits = _run(net, volume[None], study.training.window, study)[0]
    return torch.softmax(logits, dim=0).cpu().numpy()


def _run(net: nn.Module, batch: torch.Tensor, window: tuple[int, ...], study: Study) -> torch.Tensor:
    if study.evaluation.inference == "whole":
        return net(batch)  # type: ignore[no-any-return]  # a Module's call is untyped
    return sliding_window_inference(  # type: ignore[no-any-return]  # monai ships no types
        batch, window, sw_batch_size=4, predictor=net, overlap=study.evaluation.overlap, mode="gaussian"
    )
