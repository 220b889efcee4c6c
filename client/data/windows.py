"""Training windows: each epoch shows every case once, through a fresh random window."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from shared.study import Training
from shared.unlabelled import UNLABELLED

Case = tuple[npt.NDArray[np.float32], npt.NDArray[np.uint8]]
MAX_REMEMBERED = 2**20  # positions kept per case: 4 MiB


@dataclass(frozen=True, eq=False)
class Batch:
    """`image` (B, C, *window) float32 and `label` (B, *window) uint8 class indices or UNLABELLED.

    For a 2-D model the window's last side, 1, is left out: (B, C, W, H) and (B, W, H).
    """

    image: npt.NDArray[np.float32]
    label: npt.NDArray[np.uint8]


class WindowSource(Sequence[Case]):
    """Cases, image (C, X, Y, Z) and label (X, Y, Z), that remember where to look.

    With `points` a label holds judged voxels among UNLABELLED ones: windows are sent to any judged voxel,
    background or class, and nobody has judged what lies outside the case. Otherwise they are sent to the
    classes, and outside is background.

    Keep one for the whole run: then each label is searched once and not once an epoch.
    """

    def __init__(self, cases: Sequence[Case], *, points: bool = False) -> None:
        self._cases = tuple(cases)
        self._outside = UNLABELLED if points else 0
        self._labelled: dict[int, npt.NDArray[np.integer]] = {}
        self._lowest: dict[int, npt.NDArray[np.float32]] = {}

    def __len__(self) -> int:
        return len(self._cases)

    def __getitem__(self, index: int) -> Case:  # type: ignore[override]  # no slices
        return self._cases[index]

    def labelled(self, index: int) -> npt.NDArray[np.integer]:
        """Find the flat positions to send windows to; evenly thinned out beyond 2**20 of them."""
        if index not in self._labelled:
            label = self._cases[index][1]
            flat = np.flatnonzero(label != self._outside)
            thinned = flat[:: -(-len(flat) // MAX_REMEMBERED) or 1]
            small = label.size <= np.iinfo(np.int32).max
            self._labelled[index] = thinned.astype(np.int32 if small else np.int64)
        return self._labelled[index]

    def lowest(self, index: int) -> npt.NDArray[np.float32]:
        """Find the lowest intensity (C,) of each channel of one case."""
        if index not in self._lowest:
            self._lowest[index] = np.asarray(self._cases[index][0].min(axis=(1, 2, 3)))
        return self._lowest[index]

    def draw(self, index: int, *, training: Training, rng: np.random.Generator) -> Case:
        """Draw one window of one case: image (C, *window) and label (*window).

        With probability `tumour_fraction`, where the case has a label, the window holds a labelled voxel,
        drawn uniformly, in its middle half; otherwise it lies anywhere inside the case. Where it is larger
        than the case, each channel is filled up with its own lowest value.
        """
        image, label = self._cases[index]
        window = np.array(training.window)
        size = np.array(label.shape)
        free = size - window  # negative where the window is larger: the case then lies anywhere in it
        first, last = np.minimum(free, 0), np.maximum(free, 0)
        start = rng.integers(first, last, endpoint=True)
        if rng.random() < training.tumour_fraction and len(positions := self.labelled(index)):
            centre = np.array(np.unravel_index(positions[rng.integers(len(positions))], label.shape))
            jitter = rng.integers(-(window // 4), window // 4, endpoint=True)
            start = np.where(free > 0, np.clip(centre - window // 2 + jitter, first, last), start)
        source, target = [slice(None)], [slice(None)]
        for begin, side, length in zip(start.tolist(), training.window, label.shape, strict=True):
            source.append(slice(max(begin, 0), min(begin + side, length)))
            target.append(slice(max(-begin, 0), min(length - begin, side)))
        patch = np.empty((len(image), *training.window), np.float32)
        mask = np.full(training.window, self._outside, np.uint8)
        if (free < 0).any():
            patch[:] = self.lowest(index)[:, None, None, None]
        patch[tuple(target)] = image[tuple(source)]
        mask[tuple(target[1:])] = label[tuple(source[1:])]
        if training.flip and rng.random() < 0.5:
            patch, mask = patch[:, ::-1], mask[::-1]
        return patch, mask


def epoch(
    cases: Sequence[Case], *, training: Training, dimensions: int, rng: np.random.Generator
) -> Iterator[Batch]:
    """Yield the batches of one epoch: every case once, in random order; the last batch may be smaller.

    `cases` are pairs of image (C, X, Y, Z) and label (X, Y, Z), memory-mapped or not; pass the same
    `WindowSource` every epoch to search labels only once. Equal generators give equal epochs.
    """
    source = cases if isinstance(cases, WindowSource) else WindowSource(cases)
    order = rng.permutation(len(source))
    for begin in range(0, len(order), training.batch_size):
        drawn = [
            source.draw(int(index), training=training, rng=rng)
            for index in order[begin : begin + training.batch_size]
        ]
        image = np.stack([patch for patch, _ in drawn])
        label = np.stack([mask for _, mask in drawn])
        if dimensions == 2:
            image, label = image[..., 0], label[..., 0]
        yield Batch(image, label)
