"""The longest line within a slice and the longest across it: true on shapes of known size, on any grid."""

from itertools import combinations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from client.findings.diameter import Diameter, edge, longest_diameter
from tests.client.findings.grids import ellipsoid, placed, small_angles

PLAIN = np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]])
Mask = npt.NDArray[np.bool_]
Points = npt.NDArray[np.float64]


def steps(u_mm: float, v_mm: float) -> Points:
    return PLAIN * [u_mm, v_mm]


def edges_of_all_voxels(mask: Mask) -> Points:
    """Middles of all four sides of every voxel of a slice, one by one."""
    sides = ((0.5, 0), (-0.5, 0), (0, 0.5), (0, -0.5))
    return np.array([(u + a, v + b) for u, v in np.argwhere(mask) for a, b in sides])


def slowly(mask: Mask, steps_mm: Points) -> tuple[float, float]:
    """Longest line of all slices by every pair of points; across it by every pair at every place along it.

    Of slices with one length the largest counts.
    """
    best: tuple[float, int, float] = (0.0, 0, 0.0)
    for index in range(mask.shape[2]):
        here = mask[:, :, index]
        if not here.any():
            continue
        points = edges_of_all_voxels(here) @ steps_mm.T
        length, one, two = max(
            (float(np.linalg.norm(points[b] - points[a])), a, b)
            for a, b in combinations(range(len(points)), 2)
        )
        key = (round(length, 6), int(here.sum()))
        if key > (round(best[0], 6), best[1]):
            best = (length, int(here.sum()), across(points, points[one], points[two]))
    return best[0], best[2]


def across(points: Points, start: Points, end: Points) -> float:
    """The hull's upper and lower bound at a place are those of all lines between two points there."""
    along = (end - start) / np.linalg.norm(end - start)
    t = (points - start) @ along
    rest = points - start - t[:, None] * along
    other = rest[np.linalg.norm(rest, axis=1).argmax()]
    s = rest @ (other / np.linalg.norm(other))
    longest = 0.0
    for place in np.unique(t.round(9)):
        values = list(s[np.abs(t - place) < 1e-8])
        for a, b in combinations(range(len(t)), 2):
            if (t[a] - place) * (t[b] - place) < 0:
                values.append(s[a] + (s[b] - s[a]) * (place - t[a]) / (t[b] - t[a]))
        longest = max(longest, max(values) - min(values))
    return longest


@st.composite
def masks(draw: st.DrawFn) -> Mask:
    shape = draw(st.tuples(st.integers(1, 5), st.integers(1, 5), st.integers(1, 3)))
    bits = draw(st.lists(st.booleans(), min_size=int(np.prod(shape)), max_size=int(np.prod(shape))))
    mask = np.array(bits).reshape(shape)
    mask[tuple(np.array(shape) // 2)] = True
    return mask


@settings(deadline=None, max_examples=40)
@given(mask=masks(), u=st.floats(0.4, 3), v=st.floats(0.4, 3), angles=small_angles)
def test_every_pair_of_points_of_every_slice_says_the_same(
    mask: Mask, u: float, v: float, angles: tuple[float, float, float]
) -> None:
    oblique = placed((u, v, 1.0), angles, (0, 0, 0))[:3, :2]
    found, (length, _) = longest_diameter(mask, oblique), slowly(mask, oblique)
    assert found.length_mm == pytest.approx(length, abs=1e-6)
    # Of several lines of one length any may be taken, so what lies across is that of this one.
    points = edges_of_all_voxels(mask[:, :, found.slice]) @ oblique.T
    start, end = found.ends @ oblique.T
    assert np.linalg.norm(end - start) == pytest.approx(found.length_mm)
    assert found.across_mm == pytest.approx(across(points, start, end), abs=1e-6)
    assert found.across_mm <= found.length_mm + 1e-9


@settings(deadline=None, max_examples=40)
@given(mask=masks())
def test_the_edge_holds_every_point_that_can_be_farthest_in_some_direction(mask: Mask) -> None:
    here = mask[:, :, mask.shape[2] // 2]
    every, kept = edges_of_all_voxels(here), edge(here)
    assert {tuple(p) for p in kept} <= {tuple(p) for p in every}
    for angle in np.linspace(0, np.pi, 19):
        direction = np.array([np.cos(angle), np.sin(angle)])
        assert (kept @ direction).max() == pytest.approx((every @ direction).max())


def test_a_single_voxel_is_as_long_as_its_longest_side_in_the_slice() -> None:
    found = longest_diameter(np.ones((1, 1, 1), bool), steps(0.7, 1.5))
    assert (found.length_mm, found.across_mm) == pytest.approx((1.5, 0.7))
    assert longest_diameter(np.ones((1, 1, 7), bool), steps(0.7, 1.5)).length_mm == pytest.approx(1.5)


def test_a_row_of_voxels_is_as_long_as_the_row_and_as_wide_as_one() -> None:
    found = longest_diameter(np.ones((12, 1, 1), bool), steps(0.5, 2.0))
    assert (found.length_mm, found.across_mm) == pytest.approx((6.0, 2.0))


@settings(deadline=None, max_examples=40)
@given(sides=st.tuples(st.integers(1, 40), st.integers(1, 40)), u=st.floats(0.4, 2), v=st.floats(0.4, 2))
def test_a_box_is_as_long_as_its_diagonal_but_for_the_corners_of_its_voxels(
    sides: tuple[int, int], u: float, v: float
) -> None:
    found = longest_diameter(np.ones((*sides, 2), bool), steps(u, v))
    a, b = sides[0] * u, sides[1] * v
    assert found.length_mm == pytest.approx(max(np.hypot(a - u, b), np.hypot(a, b - v)))
    assert np.hypot(a, b) - max(u, v) <= found.length_mm <= np.hypot(a, b)


@settings(deadline=None, max_examples=30)
@given(
    radii=st.tuples(st.floats(3, 12), st.floats(3, 12), st.floats(3, 12)),
    spacing=st.tuples(st.floats(0.5, 1.5), st.floats(0.5, 1.5), st.floats(0.5, 5)),
    shift=st.tuples(*[st.floats(-0.5, 0.5)] * 3),
)
def test_an_ellipsoid_is_as_long_and_as_wide_as_it_is_to_a_voxel(
    radii: tuple[float, float, float],
    spacing: tuple[float, float, float],
    shift: tuple[float, float, float],
) -> None:
    shape = (60, 60, 60)
    centre = (np.array(shape) // 2 + shift) * spacing
    found = longest_diameter(ellipsoid(shape, spacing, centre, radii) > 0, steps(*spacing[:2]))
    off = shift[2] * spacing[2]  # of the slice nearest to the middle
    share = np.sqrt(1 - (off / radii[2]) ** 2)
    assert found.length_mm == pytest.approx(2 * max(radii[:2]) * share, abs=max(spacing[:2]))
    assert found.across_mm == pytest.approx(2 * min(radii[:2]) * share, abs=2 * max(spacing[:2]))


def test_half_a_voxel_beyond_the_middles_is_nearest_to_the_truth() -> None:
    """Ellipses of 8 to 40 voxels, turned at random: between middles too short, between corners too long."""
    rng = np.random.default_rng(0)
    grid = np.indices((50, 50)).reshape(2, -1).T
    off: dict[str, list[float]] = {"middles": [], "edges": [], "corners": []}
    for _ in range(60):
        long, angle = rng.uniform(4, 20), rng.uniform(0, np.pi)
        radii = np.array([long, long * rng.uniform(0.4, 1)])
        turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        away = (grid - 25 - rng.uniform(-0.5, 0.5, 2)) @ turn.T
        mask = (((away / radii) ** 2).sum(axis=1) <= 1).reshape(50, 50)
        middles = np.argwhere(mask).astype(float)
        corners = np.concatenate([middles + d for d in ((0.5, 0.5), (0.5, -0.5), (-0.5, 0.5), (-0.5, -0.5))])
        measured = longest_diameter(mask[:, :, None], PLAIN).length_mm
        off["edges"].append(measured - 2 * long)
        for name, points in (("middles", middles), ("corners", corners)):
            off[name].append(_longest(points) - 2 * long)
    mean = {name: float(np.mean(values)) for name, values in off.items()}
    assert mean["middles"] < 0 < mean["corners"]
    assert abs(mean["edges"]) < min(-mean["middles"], mean["corners"])
    assert abs(mean["edges"]) < 0.5


def _longest(points: Points) -> float:
    """Among the points farthest in 360 directions, of which the ends of the longest line are two."""
    angles = np.linspace(0, np.pi, 360, endpoint=False)
    along = points @ np.stack([np.cos(angles), np.sin(angles)])
    return float((along.max(axis=0) - along.min(axis=0)).max())


def test_of_slices_with_one_length_the_largest_is_measured() -> None:
    mask = np.zeros((9, 9, 3), bool)
    mask[:, 4] = True
    mask[4, 2:7, 1] = True
    found: Diameter = longest_diameter(mask, PLAIN)
    assert (found.slice, found.length_mm, found.across_mm) == (1, 9.0, 5.0)


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 10**6), angles=small_angles)
def test_no_slice_that_holds_the_longest_is_passed_over(
    seed: int, angles: tuple[float, float, float]
) -> None:
    """Slices of nearly one length in every direction, each measured alone."""
    rng = np.random.default_rng(seed)
    mask = np.zeros((24, 24, 12), bool)
    for index in range(12):
        turn, half = rng.uniform(0, np.pi), rng.uniform(9, 10)
        for part in np.linspace(-half, half, 60):
            u, v = np.rint(12 + part * np.array([np.cos(turn), np.sin(turn)])).astype(int)
            mask[u, v, index] = True
    oblique = placed((1.0, 1.3, 1.0), angles, (0, 0, 0))[:3, :2]
    alone = [longest_diameter(mask[:, :, [index]], oblique).length_mm for index in range(12)]
    assert longest_diameter(mask, oblique).length_mm == pytest.approx(max(alone))
