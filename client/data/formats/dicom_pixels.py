"""The voxels of one DICOM file, frame by frame, decoded by pydicom's decoders within bounds.

A packed frame states its own size a second time. It is compared with the header before a decoder sets aside
memory for it, and a run-length frame is counted before it is unrolled if it might grow beyond reason.

JPEG-LS is refused although pydicom can decode it where highdicom has installed pyjpegls: that one (1.5.1)
spins for a quarter of a minute on a frame of 241 bytes whose end is cut off, and nothing in the frame's head
says so.
"""

import io
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom import uid
from pydicom.encaps import encapsulate, generate_frames
from pydicom.pixels.decoders.base import get_decoder

from client.data.formats.base import checked_shape, unreadable, unsupported
from client.data.formats.dicom_file import DicomFile, whole
from client.data.formats.streams import plain, read_exactly
from client.data.limits import Limits
from shared.errors import CaseError

GREY = frozenset({"MONOCHROME1", "MONOCHROME2"})
COLOUR = frozenset({"RGB", "YBR_FULL"})
PACKED_COLOUR = COLOUR | {"YBR_FULL_422", "YBR_ICT", "YBR_RCT"}
RLE_RATIO = 64  # PS3.5 annex G: two bytes make at most 128
RLE_TRUSTED = 2**24  # bytes
UNPACKED = {
    uid.RLELossless: "RLE",
    uid.JPEGBaseline8Bit: "JPEG",
    uid.JPEGExtended12Bit: "JPEG",
    uid.JPEG2000Lossless: "JPEG 2000",
    uid.JPEG2000: "JPEG 2000",
}
JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # T.81 table B.1
JPEG_SCAN = 0xDA


@dataclass(frozen=True, eq=False)
class Pixels:
    """How the voxels of one file are stored: `frames` of (rows, columns, samples)."""

    file: DicomFile
    frames: int
    rows: int
    columns: int
    samples: int
    bits: int
    dtype: np.dtype[Any]
    options: dict[str, Any]

    @property
    def frame_bytes(self) -> int:
        """Bytes of one frame, unpacked; a frame of single bits may share its last byte with the next."""
        return -(-self.rows * self.columns * self.samples * self.bits // 8)


def pixels_of(file: DicomFile, limits: Limits) -> Pixels:
    """Judge how the voxels of a file are stored.

    Raises
    ------
    CaseError
        `unreadable`, `unsupported_type`, `too_large`.
    """
    path, dataset = file.path, file.dataset
    bits, samples = whole(dataset, "BitsAllocated", path), whole(dataset, "SamplesPerPixel", path, 1)
    rows, columns = whole(dataset, "Rows", path), whole(dataset, "Columns", path)
    frames = whole(dataset, "NumberOfFrames", path, 1)
    photometric = str(dataset.get("PhotometricInterpretation", "MONOCHROME2"))
    signed = whole(dataset, "PixelRepresentation", path, 0)
    if not 1 <= frames <= limits.max_files:
        raise CaseError("too_large", f"{path} declares {frames} frames, expected 1 to {limits.max_files}.")
    if bits not in {1, 8, 16, 32} or signed not in {0, 1}:
        raise unsupported(path, f"{bits} bits a voxel", "1, 8, 16 or 32")
    packed = file.length is None
    colours = PACKED_COLOUR if packed else COLOUR
    if not (
        (samples == 1 and photometric in GREY) or (samples == 3 and bits == 8 and photometric in colours)
    ):
        raise unsupported(path, f"{samples} samples of {photometric}", "grey, or RGB of 8 bits")
    dtype = np.dtype(f"{'i' if signed else 'u'}{max(bits // 8, 1)}")
    checked_shape([columns, rows, 1], path, limits, components=samples, itemsize=dtype.itemsize)
    stored = whole(dataset, "BitsStored", path, bits)
    if not 1 <= stored <= bits:
        raise unreadable(path, f"it stores {stored} bits in {bits}")
    options = {
        "rows": rows,
        "columns": columns,
        "samples_per_pixel": samples,
        "bits_allocated": bits,
        "bits_stored": stored,
        "pixel_representation": signed,
        "photometric_interpretation": photometric,
        "number_of_frames": 1,
        "pixel_keyword": "PixelData",
        "pixel_vr": "OW" if bits > 8 else "OB",
    }
    if samples > 1:
        options["planar_configuration"] = whole(dataset, "PlanarConfiguration", path, 0)
    found = Pixels(file, frames, rows, columns, samples, bits, dtype, options)
    _check_place(found, limits)
    return found


def frames_of(pixels: Pixels, limits: Limits) -> Iterator[npt.NDArray[Any]]:
    """Decode the frames in their order, each (rows, columns) or (rows, columns, samples).

    Raises
    ------
    CaseError
        `unreadable` where a frame is not what the header declares. Other exceptions of the decoders come out
        as they are: the caller stands in `base.judged`.
    """
    file = pixels.file
    with plain(file.path) as (stream, size):
        stream.seek(file.offset)
        if pixels.bits == 1:
            area = pixels.rows * pixels.columns
            for index in range(pixels.frames):  # a frame may begin and end in the middle of a byte
                first, last = index * area // 8, -(-(index + 1) * area // 8)
                stream.seek(file.offset + first)
                flat = np.unpackbits(read_exactly(stream, last - first, file.path), bitorder="little")
                start = index * area - 8 * first
                yield flat[start : start + area].reshape(pixels.rows, pixels.columns)
        elif file.length is not None:
            for _ in range(pixels.frames):
                yield _decoded(read_exactly(stream, pixels.frame_bytes, file.path).tobytes(), pixels)
        else:
            if size > limits.max_bytes:
                raise CaseError("too_large", f"{file.path} has {size} bytes, expected {limits.max_bytes}.")
            content = io.BytesIO(stream.read(size - file.offset))
            count = 0
            for frame in generate_frames(content, number_of_frames=pixels.frames):
                if count == pixels.frames:
                    break
                _check_packed(frame, pixels)
                yield _decoded(encapsulate([frame]), pixels)
                count += 1
            if count != pixels.frames:
                raise unreadable(file.path, f"it holds {count} frames, its header declares {pixels.frames}")


def _check_place(pixels: Pixels, limits: Limits) -> None:
    """Refuse voxels that are not there, too few, too many, or packed in a way that nothing here unpacks."""
    file = pixels.file
    if file.offset == 0:
        raise unreadable(file.path, "it has no voxels")
    if file.length is None:
        known = file.syntax in UNPACKED and get_decoder(uid.UID(file.syntax)).is_available
        if pixels.bits == 1 or not known:
            raise unsupported(
                file.path,
                f"voxels packed as {uid.UID(file.syntax).name}",
                "RLE, JPEG, JPEG 2000 or none",
            )
        return
    if uid.UID(file.syntax).is_encapsulated:
        raise unreadable(file.path, "its voxels are said to be packed, and have a length as plain ones have")
    total = pixels.frames * pixels.rows * pixels.columns * pixels.samples * pixels.bits
    declared = -(-total // 8)
    if not declared <= file.length <= declared + limits.max_tail:
        raise unreadable(file.path, f"its voxels need {declared} bytes, it has {file.length}")


def _decoded(content: bytes, pixels: Pixels) -> npt.NDArray[Any]:
    decoder = get_decoder(uid.UID(pixels.file.syntax))
    array, _ = decoder.as_array(content, index=0, **pixels.options)
    expected = (pixels.rows, pixels.columns, pixels.samples)[: 2 + (pixels.samples > 1)]
    if array.shape != expected:
        raise unreadable(pixels.file.path, f"a frame decodes to {array.shape}, expected {expected}")
    return array


def _check_packed(frame: bytes, pixels: Pixels) -> None:
    path = pixels.file.path
    if pixels.file.syntax == uid.RLELossless:
        if len(frame) * RLE_RATIO > max(RLE_TRUSTED, 4 * pixels.frame_bytes):
            grown = _unrolled(frame)
            if grown > 2 * pixels.frame_bytes:
                raise unreadable(path, f"a frame unrolls to {grown} bytes, expected {pixels.frame_bytes}")
        return
    size = _jpeg2000_size(frame) or _jpeg_size(frame)
    if size != (pixels.columns, pixels.rows):
        raise unreadable(path, f"a frame is packed as {size}, expected {(pixels.columns, pixels.rows)}")


def _unrolled(frame: bytes) -> int:
    """Bytes that the runs of an RLE frame make, without making them."""
    total, at = 0, 64
    while at < len(frame):
        control = frame[at]
        total += 0 if control == 128 else control + 1 if control < 128 else 257 - control
        at += 1 if control == 128 else control + 2 if control < 128 else 2
    return total


def _jpeg_size(frame: bytes) -> tuple[int, int] | None:
    """Width and height of a JPEG codestream (ITU T.81 annex B); None if unclear."""
    found = set()
    at = 2
    while frame[:2] == b"\xff\xd8" and at + 9 <= len(frame) and frame[at] == 0xFF:
        marker = frame[at + 1]
        if marker == 0xFF:
            at += 1
            continue
        if marker in JPEG_FRAMES:
            height, width = struct.unpack_from(">HH", frame, at + 5)
            found.add((width, height))
        if marker == JPEG_SCAN:
            break
        at += 2 + struct.unpack_from(">H", frame, at + 2)[0]
    return found.pop() if len(found) == 1 else None


def _jpeg2000_size(frame: bytes) -> tuple[int, int] | None:
    """Width and height of a bare JPEG 2000 codestream (ITU T.800 annex A.5.1); DICOM allows no other."""
    if frame[:4] != b"\xff\x4f\xff\x51" or len(frame) < 24:
        return None
    right, bottom, left, top = struct.unpack_from(">4I", frame, 8)
    return right - left, bottom - top
