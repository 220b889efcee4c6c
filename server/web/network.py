"""How many weights the network of a study has, counted without PyTorch (shared/model.py builds it).

A convolution from `a` to `b` channels with a kernel of k voxels has a * b * k weights and b biases; a norm
with its own scale and offset has 2 b, the activation (PReLU) 1.
"""

from shared.study import Study

KERNEL_SIDE = 3
BYTES = 4
"""Of one weight: it travels as float32."""


def count_weights(study: Study) -> int:
    """Count the weights of MONAI's U-Net as the study describes it."""
    return _Counter(study.model.dimensions, study.model.residual_units).block(
        len(study.task.channels), 1 + len(study.task.classes), study.model.channels, top=True
    )


class _Counter:
    def __init__(self, dimensions: int, units: int) -> None:
        self._kernel: int = KERNEL_SIDE**dimensions
        self._units = units

    def block(self, inside: int, outside: int, channels: tuple[int, ...], *, top: bool = False) -> int:
        """One level of the U-Net with everything below it."""
        first, *rest = channels
        if len(rest) > 1:
            below, joined = self.block(first, first, tuple(rest)), 2 * first
        else:
            below, joined = self._down(first, rest[0], stride=1), first + rest[0]
        return self._down(inside, first, stride=2) + below + self._up(joined, outside, top=top)

    def _convolution(self, inside: int, outside: int, *, bare: bool = False) -> int:
        return inside * outside * self._kernel + outside + (0 if bare else 2 * outside + 1)

    def _down(self, inside: int, outside: int, *, stride: int) -> int:
        if self._units == 0:
            return self._convolution(inside, outside)
        more = (self._units - 1) * self._convolution(outside, outside)
        return self._convolution(inside, outside) + more + self._shortcut(inside, outside, stride=stride)

    def _shortcut(self, inside: int, outside: int, *, stride: int) -> int:
        """Count what a residual unit adds its input by: nothing, one voxel's kernel, or a whole one."""
        if stride == 1 and inside == outside:
            return 0
        return inside * outside * (self._kernel if stride > 1 else 1) + outside

    def _up(self, inside: int, outside: int, *, top: bool) -> int:
        if self._units == 0:
            return self._convolution(inside, outside, bare=top)
        return self._convolution(inside, outside) + self._convolution(outside, outside, bare=top)
