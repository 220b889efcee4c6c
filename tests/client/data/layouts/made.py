"""What a generator of trees.py says about the data set that it wrote."""

from collections.abc import Mapping
from dataclasses import dataclass

from client.data.layouts.base import LabelKind
from tests.client.data.scans import affine_of

AFFINE = affine_of(1, 1, 1)


@dataclass(frozen=True)
class Made:
    """What a generator wrote: the patient of each case (None where the layout does not know)."""

    cases: Mapping[str, str | None]
    channels: tuple[str, ...] = ("image",)
    label_kind: LabelKind = "volume"
    regions: bool = False
