"""Which part of which file is each channel of a study, and the channels of one case on one grid."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy.typing as npt

from client.data import formats
from client.data.check import check_grid, check_image
from client.data.formats import DEFAULT, Limits
from client.data.layouts.base import Listed
from client.data.volumes import Affine, Volume
from shared.errors import CaseError
from shared.study import Task

Found = TypeVar("Found")
OTHER_SIGNS = re.compile(r"[^a-z0-9_-]+")


@dataclass(frozen=True, eq=False)
class Image:
    """The channels of one case, in the study's order: each (X, Y, Z) as `Volume`, on the grid of `affine`."""

    channels: tuple[npt.NDArray[Any], ...]
    affine: Affine

    @property
    def shape(self) -> tuple[int, int, int]:
        """(X, Y, Z)."""
        x, y, z = self.channels[0].shape
        return x, y, z


def chosen_files(item: Listed, task: Task) -> dict[str, Path]:
    """Return the file of each of the study's channels; as `files_of`."""
    return files_of(item, task.channels)


def files_of(item: Listed, channels: Sequence[str]) -> dict[str, Path]:
    """Return the file of each of the study's channels, by its name in the study, in the study's order.

    The file that all channels share where a case has one only. `T1 (Gd)` of a data set is a study's `t1-gd`.

    Raises
    ------
    CaseError
        `channel_missing`.
    """
    if len(item.images) == 1:
        return dict.fromkeys(channels, next(iter(item.images.values())))
    chosen = {name: _matching(name, item.images) for name in channels}
    if missing := [name for name, path in chosen.items() if path is None]:
        raise _missing(item.case, missing, list(item.images))
    return {name: path for name, path in chosen.items() if path is not None}


def read_channels(item: Listed, task: Task, limits: Limits = DEFAULT) -> Image:
    """Read and check the study's channels, each file once.

    A study of one channel takes a case's only image, whatever its name. Of a file of several components,
    those that `Listed.components` names are chosen by name; without names there must be as many as the study
    wants, and the file's order counts (of a colour image: red, green, blue).

    Raises
    ------
    CaseError
        `channel_missing`, `unsupported_channels`; `shape_mismatch`, `affine_mismatch` between the channels;
        `not_finite`, `empty_image`; and as `formats.read`.
    """
    files = chosen_files(item, task)
    if len(set(files.values())) == 1:
        volume = formats.read_narrow(next(iter(files.values())), limits)
        parts = _parts(volume, item, task.channels)
        affine = volume.affine
    else:
        volumes = {name: formats.read_narrow(path, limits) for name, path in files.items()}
        first = next(iter(volumes.values()))
        for name, volume in volumes.items():
            if volume.array.ndim != 3:
                raise _unsupported(
                    item.case, f"{files[name]} holds {len(volume.array)} channels", "one a file"
                )
            check_grid(first, volume, case=item.case, what=f"channel {name}")
        parts = tuple(volume.array for volume in volumes.values())
        affine = first.affine
    for name, part in zip(task.channels, parts, strict=True):
        what = "image" if len(parts) == 1 else f"channel {name}"
        check_image(Volume(part, affine), case=item.case, what=what)
    return Image(parts, affine)


def read_channel(item: Listed, channels: Sequence[str], name: str, limits: Limits = DEFAULT) -> Volume:
    """Read one of a study's `channels`, (X, Y, Z), as `read_channels` chooses it; for looking at it.

    Raises
    ------
    CaseError
        `channel_missing`, `unsupported_channels`; and as `formats.read`.
    """
    files = files_of(item, channels)
    volume = formats.read_narrow(files[name], limits)
    if len(set(files.values())) == 1:
        return Volume(_parts(volume, item, channels)[channels.index(name)], volume.affine)
    if volume.array.ndim != 3:
        raise _unsupported(item.case, f"{files[name]} holds {len(volume.array)} channels", "one a file")
    return volume


def _parts(volume: Volume, item: Listed, channels: Sequence[str]) -> tuple[npt.NDArray[Any], ...]:
    """Choose among the components of a case's only file."""
    name = next(iter(item.images))
    components = (volume.array,) if volume.array.ndim == 3 else tuple(volume.array)
    count, wanted = len(components), len(channels)
    if count == wanted == 1:
        return components
    names = item.components or ((name,) if count == 1 else ())
    if len(names) == count:
        numbers = [_matching(channel, {n: i for i, n in enumerate(names)}) for channel in channels]
        if missing := [c for c, number in zip(channels, numbers, strict=True) if number is None]:
            raise _missing(item.case, missing, names)
        return tuple(components[number] for number in numbers if number is not None)
    if names:
        found = f"{item.images[name]} holds {count} channels and the data set names {', '.join(names)}"
        raise _unsupported(item.case, found, "a name for each")
    if count < wanted:
        raise _missing(item.case, channels[count:], [f"{count} channels without names"])
    if count > wanted:
        found = f"{item.images[name]} holds {count} channels without names"
        raise _unsupported(item.case, found, f"{wanted}: {', '.join(channels)}")
    return components


def _matching(name: str, among: Mapping[str, Found]) -> Found | None:
    """Return what has this name, or one that differs in capitals, spaces and signs: a study has none."""
    plain = {OTHER_SIGNS.sub("-", other.casefold()).strip("-"): found for other, found in among.items()}
    return among.get(name, plain.get(name))


def _missing(case: str, missing: Sequence[str], found: Sequence[str]) -> CaseError:
    return CaseError(
        "channel_missing",
        f"{case}: no channel {', '.join(missing)}, found {', '.join(found)}. "
        "Add what is missing, or name what is there in task.channels.",
    )


def _unsupported(case: str, found: str, expected: str) -> CaseError:
    return CaseError(
        "unsupported_channels",
        f"{case}: {found}, expected {expected}. Give each channel a file, or name them all in task.channels.",
    )
