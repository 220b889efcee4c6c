import pytest

from client.findings.recist import measurable_from_mm, sum_of_diameters_mm


@pytest.mark.parametrize(
    ("slice_mm", "least_mm"), [(0.6, 10), (1.0, 10), (5.0, 10), (5.01, 10.02), (6.0, 12), (10.0, 20)]
)
def test_thick_slices_need_longer_lesions(slice_mm: float, least_mm: float) -> None:
    assert measurable_from_mm(slice_mm) == pytest.approx(least_mm)


@pytest.mark.parametrize(
    ("diameters_mm", "expected_mm"),
    [
        ([], 0),
        ([9.99], 0),
        ([10.0, 9.99], 10),
        ([31.0, 12.0, 5.0], 43),
        ([11.0, 12.0, 13.0, 14.0, 15.0, 16.0], 70),
        ([16.0, 15.0, 14.0, 13.0, 12.0, 11.0], 70),
    ],
)
def test_the_five_longest_measurable_ones_are_added(diameters_mm: list[float], expected_mm: float) -> None:
    assert sum_of_diameters_mm(diameters_mm, slice_mm=1.0) == pytest.approx(expected_mm)
