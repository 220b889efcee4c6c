"""What is connected is one finding; the largest comes first; what is too small is none."""

from collections import deque

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from client.findings.components import components
from tests.client.findings.grids import found_in, placed, study_of


def one_by_one(mask: np.ndarray) -> list[set[tuple[int, ...]]]:
    """Walk from voxel to voxel over all 26 neighbours."""
    left = {tuple(v) for v in np.argwhere(mask).tolist()}
    parts = []
    while left:
        part, waiting = set(), deque([left.pop()])
        while waiting:
            voxel = waiting.popleft()
            part.add(voxel)
            near = {other for other in left if np.abs(np.subtract(voxel, other)).max() <= 1}
            left -= near
            waiting.extend(near)
        parts.append(part)
    return parts


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 10**6), share=st.floats(0, 0.5), minimum=st.sampled_from([0.0, 0.02, 0.05]))
def test_voxel_by_voxel_the_parts_are_the_same(seed: int, share: float, minimum: float) -> None:
    mask = np.random.default_rng(seed).random((6, 5, 4)) < share
    numbered = components(mask, voxel_ml=0.01, minimum_ml=minimum)
    expected = [part for part in one_by_one(mask) if round(len(part) * 0.01, 9) >= minimum]
    found = [{tuple(v) for v in np.argwhere(numbered == n).tolist()} for n in range(1, numbered.max() + 1)]
    assert sorted(map(sorted, found)) == sorted(map(sorted, expected))
    sizes = [len(part) for part in found]
    assert sizes == sorted(sizes, reverse=True)


def test_more_than_255_findings_are_told_apart() -> None:
    mask = np.zeros((41, 41, 1), bool)
    mask[::2, ::2] = True
    numbered = components(mask, voxel_ml=1, minimum_ml=0)
    assert len(np.unique(numbered)) == 1 + 21 * 21


@pytest.mark.parametrize("angle", [0.0, 0.1, 0.2, 0.3])
def test_the_smallest_size_holds_to_the_voxel_on_an_oblique_grid(angle: float) -> None:
    label = np.zeros((8, 8, 8), np.uint8)
    label[1, 1, 1:4] = label[5, 5, 1:3] = 2
    affine = placed((1.0, 2.0, 5.0), (angle, -angle, angle / 3), (1, 2, 3))  # 0.01 ml a voxel
    assert found_in(label, study_of(minimum_ml=0.02, finding=["tumour"]), affine=affine).finding_count == 2
    assert found_in(label, study_of(minimum_ml=0.03, finding=["tumour"]), affine=affine).finding_count == 1
    assert found_in(label, study_of(minimum_ml=0.031, finding=["tumour"]), affine=affine).finding_count == 0
