"""From the facts of each case to those of all, and what is strange about cases that can be used."""

from collections.abc import Iterable, Sequence
from statistics import median

from client.data.cures import cure
from client.data.inspection.facts import (
    XYZ,
    CaseFacts,
    ChannelFacts,
    Duplicate,
    Fault,
    Inspection,
    Intensities,
    LabelSummary,
    Patients,
    Range,
    Spread,
    Tally,
)
from client.data.layouts.base import Skipped
from client.data.patients import PatientTable

NO_MAP = (
    "Nothing says which cases are of one person. Decide: give a patients.csv with the columns case and "
    "patient, or state that each case is one person. Until then no split and no privacy is by patient."
)
EXAMPLES = 3  # names of cases that stand for others


def summed_up(
    folder: str, layout: str, facts: tuple[CaseFacts, ...], skipped: Sequence[Skipped], table: PatientTable
) -> Inspection:
    """Count, and name what is wrong or strange; `skipped` are cases that were not opened."""
    channels = [(case, channel) for case in facts for channel in case.channels]
    images = [channel for case in facts for channel in case.channels[:1]]
    labels = [case.label for case in facts if case.label is not None]
    free = sum(label.is_empty for label in labels)
    duplicates = duplicates_in(facts)
    left_out = [
        Fault(case=skip.case, reason=skip.reason, detail=skip.detail, cure=cure(skip.reason))
        for skip in skipped
    ]
    faults = left_out + [case.fault for case in facts if case.fault is not None]
    return Inspection(
        folder=folder,
        layout=layout,
        cases=len({case.case for case in facts} | {skip.case for skip in skipped}),
        usable=sum(case.fault is None for case in facts),
        patients=_patients(facts, table),
        formats=_tallied((case.case, channel.format) for case, channel in channels),
        modalities=_tallied((c.case, channel.modality) for c, channel in channels if channel.modality),
        channels=_tallied((case.case, channel.channel) for case, channel in channels),
        shapes=_spread([image.shape for image in images]),
        spacings_mm=_spread([image.spacing_mm for image in images]),
        orientations=_tallied((case.case, channel.orientation) for case, channel in channels),
        dtypes=_tallied((case.case, channel.dtype) for case, channel in channels),
        assumed=_tallied((case.case, note) for case, channel in channels for note in channel.notes),
        intensities=_intensities([channel for _, channel in channels]),
        labels=_labels(facts),
        labelled=len(labels),
        tumour_free=free,
        tumour_free_share=free / len(labels) if labels else None,
        duplicates=duplicates,
        faults=tuple(sorted(faults, key=lambda fault: (fault.case, fault.reason))),
        warnings=_warnings(facts, duplicates),
        facts=facts,
    )


def duplicates_in(facts: Sequence[CaseFacts]) -> tuple[Duplicate, ...]:
    """Find cases, or channels of one case, with equal pixels; the colours of an RGB picture may be equal."""
    places: dict[str, list[tuple[str, ChannelFacts]]] = {}
    for case in facts:
        for channel in case.channels:
            places.setdefault(channel.pixels, []).append((case.case, channel))
    groups: dict[tuple[str, ...], set[str]] = {}
    for same in places.values():
        cases = tuple(sorted({case for case, _ in same}))
        if len(cases) > 1 or (len(same) > 1 and same[0][1].modality != "RGB"):
            groups.setdefault(cases, set()).update(channel.channel for _, channel in same)
    return tuple(
        Duplicate(cases=cases, channels=tuple(sorted(names))) for cases, names in sorted(groups.items())
    )


def _warnings(facts: Sequence[CaseFacts], duplicates: Iterable[Duplicate]) -> tuple[Fault, ...]:
    found = [
        (case.case, "empty_label", f"{case.case}: the label marks nothing, every value is 0.")
        for case in facts
        if case.label is not None and case.label.is_empty and case.fault is None
    ]
    for one in duplicates:
        where = ", ".join(one.channels)
        if len(one.cases) > 1:
            text = f"{', '.join(one.cases)} hold the same pixels ({where})."
            found.append((one.cases[0], "duplicate_pixels", text))
        else:
            found.append(
                (one.cases[0], "duplicate_channel", f"{one.cases[0]}: {where} hold the same pixels.")
            )
    return tuple(
        Fault(case=case, reason=reason, detail=detail, cure=cure(reason))
        for case, reason, detail in sorted(found)
    )


def _patients(facts: Sequence[CaseFacts], table: PatientTable) -> Patients:
    known = {case.patient for case in facts if case.patient is not None}
    unmapped = sum(case.patient is None for case in facts)
    source = table.source if table.has_subject_map else "layout" if known else "none"
    if not known:
        return Patients(source=source, count=None, unmapped=unmapped, decision=NO_MAP if facts else None)
    decision = f"{unmapped} case(s) have no patient. {NO_MAP.partition('. ')[2]}" if unmapped else None
    return Patients(source=source, count=len(known) + unmapped, unmapped=unmapped, decision=decision)


def _tallied(pairs: Iterable[tuple[str, str]]) -> tuple[Tally, ...]:
    """Count each value of (case, value) once a case; the most frequent first, else in the order found."""
    cases: dict[str, list[str]] = {}
    for case, value in dict.fromkeys(pairs):
        cases.setdefault(value, []).append(case)
    ordered = sorted(cases.items(), key=lambda item: -len(item[1]))
    return tuple(
        Tally(value=value, cases=len(names), examples=tuple(names[:EXAMPLES])) for value, names in ordered
    )


def _spread(triples: Sequence[Sequence[float]]) -> Spread | None:
    if not triples:
        return None
    axes = list(zip(*triples, strict=True))
    different = len({tuple(float(f"{side:.4g}") for side in triple) for triple in triples})
    return Spread(
        lowest=_xyz(map(min, axes)),
        middle=_xyz(map(median, axes)),
        highest=_xyz(map(max, axes)),
        different=different,
    )


def _xyz(values: Iterable[float]) -> XYZ:
    x, y, z = values
    return float(x), float(y), float(z)


def _range(values: Sequence[float]) -> Range:
    return Range(lowest=min(values), middle=float(median(values)), highest=max(values))


def _intensities(channels: Sequence[ChannelFacts]) -> tuple[Intensities, ...]:
    names = dict.fromkeys(channel.channel for channel in channels if channel.intensity is not None)
    found = []
    for name in names:
        figures = [c.intensity for c in channels if c.channel == name and c.intensity is not None]
        found.append(
            Intensities(
                channel=name,
                lowest=_range([one.lowest for one in figures]),
                p0_5=_range([one.p0_5 for one in figures]),
                p50=_range([one.p50 for one in figures]),
                p99_5=_range([one.p99_5 for one in figures]),
                highest=_range([one.highest for one in figures]),
            )
        )
    return tuple(found)


def _labels(facts: Sequence[CaseFacts]) -> tuple[LabelSummary, ...]:
    values = [value for case in facts if case.label is not None for value in case.label.values]
    found = []
    for number in sorted({value.value for value in values}):
        mine = [value for value in values if value.value == number]
        volumes = [value.ml for value in mine if value.ml is not None]
        names = sorted({value.name for value in mine if value.name})
        found.append(
            LabelSummary(
                value=number,
                name=", ".join(names) or None,
                cases=len(mine),
                count=sum(value.count for value in mine),
                ml=_range(volumes) if volumes else None,
            )
        )
    return tuple(found)
