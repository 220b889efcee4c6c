"""Known arrays out of .npy files: what numpy reads (the oracle), nothing else, and safely in threads."""

import io
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared import npy


def mapped(folder: Path, data: bytes, *, dtype: str, shape: tuple[int, ...]) -> np.ndarray:
    path = folder / f"{threading.get_ident()}.npy"
    path.write_bytes(data)
    return npy.map_file(path, dtype=dtype, shape=shape)


def saved(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=True)
    return stream.getvalue()


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.integers(1, 4), max_size=4).map(tuple),
    st.sampled_from(["float32", "float64", "int64", "uint8"]),
    st.integers(0, 2**32),
)
def test_it_reads_what_numpy_reads(tmp_path: Path, shape: tuple[int, ...], dtype: str, seed: int) -> None:
    array = np.random.default_rng(seed).integers(0, 100, shape).astype(dtype)
    data = saved(array)
    found = mapped(tmp_path, data, dtype=dtype, shape=shape)
    np.testing.assert_array_equal(found, np.load(io.BytesIO(data)))
    assert found.dtype == array.dtype
    assert found.shape == shape


def test_a_file_is_mapped_and_not_read(tmp_path: Path) -> None:
    array = np.arange(24, dtype=np.float32).reshape(1, 2, 3, 4)
    np.save(tmp_path / "a.npy", array)
    found = npy.map_file(tmp_path / "a.npy", dtype="float32", shape=(1, 2, 3, 4))
    assert isinstance(found, np.memmap)
    np.testing.assert_array_equal(found, array)


@pytest.mark.parametrize(
    ("data", "dtype", "shape"),
    [
        pytest.param(saved(np.ones(3, np.float32)), "float32", (4,), id="a longer shape"),
        pytest.param(saved(np.ones(3, np.float32)), "float32", (2,), id="a shorter shape"),
        pytest.param(saved(np.ones(4, np.float32)), "int32", (4,), id="another type of the same size"),
        pytest.param(saved(np.array([{}, {}])), "object", (2,), id="pickled objects"),
        pytest.param(saved(np.ones((2, 3), np.float32, order="F")), "float32", (2, 3), id="Fortran order"),
        pytest.param(b"PK\x03\x04 a zip archive", "float32", (4,), id="not npy"),
        pytest.param(b"", "float32", (1,), id="nothing"),
        pytest.param(saved(np.ones(3, np.float32))[:-1], "float32", (3,), id="cut off"),
    ],
)
def test_anything_else_is_refused(tmp_path: Path, data: bytes, dtype: str, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"expected|not a \.npy"):
        mapped(tmp_path, data, dtype=dtype, shape=shape)


def test_many_threads_read_at_once(tmp_path: Path) -> None:
    array = np.arange(6, dtype=np.float32)
    data = saved(array)
    faults: list[BaseException] = []

    def read() -> None:
        try:
            for _ in range(300):
                mapped(tmp_path, data, dtype="float32", shape=(6,))
        except BaseException as error:
            faults.append(error)

    threads = [threading.Thread(target=read) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
