"""Whether a site's data fit one study: every case is prepared as the study would, and nothing is kept."""

from collections import Counter
from collections.abc import Callable, Iterator

import numpy as np

from client.approvals import Approvals
from client.audit import Audit
from client.check_line import Line
from client.data import layouts
from client.data.history import asked, history_of, lacking, not_believed, told_range
from client.data.layouts.base import Skipped
from client.data.patients import Patients, PatientTable
from client.data.preparing.reading import Scan
from client.data.store import prepared_case
from client.policy import ANY, ASK
from client.site import Site
from shared.errors import DataError, PolicyError
from shared.study import Study


def check_study(
    site: Site, study: Study, progress: Callable[[int, int], None] | None = None
) -> Iterator[Line]:
    """Yield a line for each case that the study cannot use, then what it asks for and what was found.

    `progress` is called with (cases done, cases in all).

    Raises
    ------
    DataError
        The layout is not recognised, or the patients table is faulty.
    """
    yield _decision(site, study)
    found = layouts.find(site.data, site.layout)
    listed, skipped = found.list_cases(site.data, require_label=study.task.truth != "region")
    patients = Patients(PatientTable.load(site.patients), listed)
    for skip in skipped:
        yield _case_line(skip)
    usable: list[str] = []
    labels_with = np.zeros(len(study.task.classes), np.int64)
    for done, item in enumerate(listed, start=1):
        try:
            scan, _ = prepared_case(item, study, site.limits)
        except Exception as error:
            skipped.append(Skipped.after(error, item.case))
            yield _case_line(skipped[-1])
        else:
            usable.append(item.case)
            labels_with += _present(scan, len(study.task.classes))
        if progress is not None:
            progress(done, len(listed))
    yield _total(usable, skipped)
    yield _channels(study, usable)
    yield from _classes(study, labels_with)
    yield _patients(study, len({patients.patient_of(case) for case in usable}))
    yield from _history(patients.table, study, usable)


def _present(scan: Scan, classes: int) -> list[bool]:
    """Tell which classes a case's truth holds as it was drawn: the study's spacing may lose a small one."""
    drawn = np.asarray(scan.label if scan.points is None else scan.points[:, 3])
    return [bool((drawn == index).any()) for index in range(1, classes + 1)]


def _decision(site: Site, study: Study) -> Line:
    """Whether the study may run here at all."""
    called = f"{study.name} {study.digest()[:12]}"
    policy = site.policy
    if policy.studies != ASK:
        if policy.studies == ANY or policy.lists(study):
            return Line("study", "ok", f"{called}: policy.studies allows it")
        cure = "Add its digest to policy.studies, if the hospital wants to take part."
        return Line(
            "study", "problem", f"{called}: not listed in policy.studies", cure, PolicyError.exit_code
        )
    if Approvals(site.work, Audit(site.work / "audit.jsonl")).approved(study.digest()):
        return Line("study", "ok", f"{called}: approved")
    cure = "Read it with `wardround site explain`, allow it with `wardround site approve`."
    return Line("study", "not yet", f"{called}: not approved here", cure)


def _case_line(skip: Skipped) -> Line:
    detail = skip.detail.removeprefix(f"{skip.case}: ")
    return Line("case", "warning", f"{skip.case}: {skip.reason}: {detail}")  # the detail ends in a cure


def _total(usable: list[str], skipped: list[Skipped]) -> Line:
    found = f"{len(usable)} of {len(usable) + len(skipped)} cases fit the study"
    if skipped:
        counts = Counter(skip.reason for skip in skipped)
        found += "; not: " + ", ".join(f"{count} {reason}" for reason, count in sorted(counts.items()))
    if not usable:
        return Line("study cases", "problem", found, "Correct what the lines of the cases name.", 3)
    cure = "Correct what their lines name, or accept that they are left out."
    return Line("study cases", "warning" if skipped else "ok", found, cure if skipped else "")


def _channels(study: Study, usable: list[str]) -> Line:
    wanted = ", ".join(study.task.channels)
    if not usable:
        return Line("study channels", "problem", f"no case has {wanted}", "See the lines of the cases.", 3)
    return Line("study channels", "ok", f"{wanted}: in each of the {len(usable)} cases")


def _classes(study: Study, labels_with: np.ndarray) -> Iterator[Line]:
    for name, values, count in zip(
        study.task.classes, study.task.label_values, labels_with.tolist(), strict=True
    ):
        found = f"{name} ({', '.join(map(str, values))} in the label): in {count} labels"
        if count:
            yield Line("study classes", "ok", found)
        elif name in study.requires.classes:
            cure = f"The study requires it. Add cases with {name}, or check the values in the labels."
            yield Line("study classes", "problem", found, cure, DataError.exit_code)
        else:
            yield Line("study classes", "warning", found, "Check the values, if there ought to be any.")


def _patients(study: Study, count: int) -> Line:
    minimum = study.requires.minimum_patients
    found = f"{count} patients, the study requires {minimum}"
    if count < minimum:
        cure = "Add patients, or leave this study to others."
        return Line("study patients", "problem", found, cure, DataError.exit_code)
    return Line("study patients", "ok", found)


def _history(table: PatientTable, study: Study, usable: list[str]) -> Iterator[Line]:
    """Say of each column that the priority asks for whether it is there, and how often a value is not."""
    cannot = lacking(table, study)
    histories = [history_of(case, table, study) for case in usable]
    implausible = {term.name: count for term, count in not_believed(histories, study)}
    for term in asked(study):
        if term.feature in cannot:
            cure = "The site can take part without it: it is missing for every patient. Or add the column."
            yield Line("study history", "warning", f"{term.name}: {cannot[term.feature]}", cure)
            continue
        known = sum(term.name in history for history in histories)
        found = f"{term.name}: known of {known} of {len(usable)} cases"
        if wrong := implausible.get(term.name):
            found += f", {wrong} of them outside {told_range(term)} and not used"
            yield Line(
                "study history",
                "warning",
                found,
                "Check the values and their unit" + (f": {term.unit}." if term.unit else "."),
            )
        else:
            yield Line("study history", "ok", found)
