import re
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch

from client.reasons.explaining import ATTRIBUTION, PAGE, explain
from shared.model import build
from tests.client.data.inspection.test_page import Seen
from tests.client.hospital import SIDE, tiny_study
from tests.client.reasons.samples import finding, result

SHAPE = (SIDE,) * 3


def page_of(folder: Path, numbers: np.ndarray) -> Seen:
    torch.manual_seed(0)
    study = tiny_study()
    image = np.random.default_rng(0).normal(size=(1, *SHAPE)).astype(np.float32)
    score = np.where(numbers > 0, 0.9, 0.1).astype(np.float32)
    ends = ((2.0, 4.0, 3.0), (8.0, 4.0, 3.0))
    found = tuple(finding(int(n), diameter_ends_mm=ends) for n in range(1, numbers.max() + 1))
    made = explain(
        folder,
        result(findings=found),
        build(study).eval(),
        study,
        image=image,
        score=score,
        numbers=numbers,
        affine=np.eye(4),
    )
    attributed = {"attribution": ATTRIBUTION} if numbers.any() else {}
    assert made == {"page": PAGE, **attributed}
    assert sorted(path.name for path in folder.iterdir()) == sorted(made.values())
    seen = Seen()
    seen.feed((folder / PAGE).read_text(encoding="utf-8"))
    return seen


def test_the_largest_finding_has_a_third_picture_and_its_sum(tmp_path: Path) -> None:
    numbers = np.zeros(SHAPE, np.uint8)
    numbers[2:9, 3:6, 3] = 1
    numbers[12:14, 3:6, 3] = 2
    page = page_of(tmp_path, numbers)
    assert page.tags.count("figure") == 2
    assert page.tags.count("img") == 5
    told = re.search(r"The attribution adds up to ([+-]\d+\.\d\d)", page.text)
    assert told is not None
    kept = nib.load(tmp_path / ATTRIBUTION)
    assert float(kept.get_fdata().sum()) == pytest.approx(float(told[1]), abs=0.006)
    assert np.array_equal(kept.affine[:3, :3], np.eye(3))  # of the window, in the scan's own millimetres


def test_a_scan_without_findings_is_explained_too(tmp_path: Path) -> None:
    page = page_of(tmp_path, np.zeros(SHAPE, np.uint8))
    assert "img" not in page.tags
    assert "attribution" not in page.text
