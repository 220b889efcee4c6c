"""What `wardround site check` says about the data of a site, whatever the study: cases and their patients."""

from collections.abc import Iterator
from pathlib import Path

from client.check_line import Line
from client.data import layouts
from client.data.layouts.base import Listed, Skipped
from client.data.patients import Patients, PatientTable
from client.site import Site
from shared.errors import DataError

DECIDE = (
    "Decide: give `patients`, a CSV with the columns case and patient, or state `one_patient_per_case: true` "
    "if that is so. Private training needs one of them."
)
SMALLEST_SHARE = 0.2  # of the patients, which an ordinary study validates on


def check_data(site: Site) -> Iterator[Line]:
    """Whether the layout is recognised, cases are found, and the table knows their patients."""
    layout = layouts.find(site.data, site.layout)
    complete, skipped = layout.list_cases(site.data, require_label=False)
    listed = [item for item in complete if item.label is not None or item.region is not None]
    for item in complete:
        if item not in listed:
            files = ", ".join(map(str, item.images.values()))
            skipped.append(Skipped(item.case, "label_missing", f"no label for the image {files}"))
    skipped.sort(key=lambda skip: skip.case)
    code = DataError.exit_code
    if not listed:
        cure = "Give the folder that holds images and labels, as sites/README.md describes."
        yield Line(
            "data", "problem", f"{site.data} ({layout.name}): no case with image and label", cure, code
        )
        return
    found = f"{len(listed)} cases in {site.data} ({layout.name})"
    yield Line("data", "ok", found)
    if skipped:
        reasons = ", ".join(sorted({skip.reason for skip in skipped}))
        cure = f"Export them again, or accept it; the first is {skipped[0].case}: {skipped[0].detail}"
        yield Line("data", "warning", f"{len(skipped)} cases would be skipped: {reasons}", cure)
    known = Patients(PatientTable.load(site.patients), listed)
    patients = {known.patient_of(item.case) for item in listed}
    yield _table_line(site, known, listed, layout.patients_by)
    minimum = site.policy.minimum_patients
    if len(patients) < minimum:
        cure = "Add patients, or lower policy.minimum_patients if whoever protects patients' data agrees."
        found = f"{len(patients)} patients, policy.minimum_patients is {minimum}: nothing would ever leave"
        yield Line("patients", "problem", found, cure, code)
    elif len(patients) * SMALLEST_SHARE < minimum:
        found = (
            f"{len(patients)} patients: a study that validates on a fifth of them has about "
            f"{len(patients) * SMALLEST_SHARE:.1f}, below policy.minimum_patients {minimum}"
        )
        yield Line("patients", "warning", found, "Its figures of this site would be refused. Add patients.")
    else:
        yield Line("patients", "ok", f"{len(patients)} patients, policy.minimum_patients is {minimum}")


def _table_line(site: Site, patients: Patients, listed: list[Listed], source: str) -> Line:
    """Say what tells which cases are one person; where nothing does, somebody must decide."""
    cases = [item.case for item in listed]
    if site.patients is None and patients.mapped(cases):
        return Line("patients table", "ok", f"none; patients are told apart by {source}")
    if site.patients is None and site.one_patient_per_case:
        return Line("patients table", "ok", "none; the site states that every case is another person")
    if site.patients is None:
        unknown = sum(item.patient is None for item in listed)
        found = f"none, and {unknown} of {len(listed)} cases name no patient: each counts as one"
        return Line("patients table", "warning", found, DECIDE)
    return _named_by_table(site.patients, patients, cases, source)


def _named_by_table(path: Path, patients: Patients, cases: list[str], source: str) -> Line:
    table = patients.table
    missing = patients.without_row(cases)
    if table.without_row(cases) == len(cases):
        cure = "Compare its column `case` with the file names, without .nii.gz."
        return Line("patients table", "problem", f"{path} names none of the cases", cure, 3)
    if missing:
        cure = "Add their rows: without, each counts as a patient of its own and has no history."
        return Line("patients table", "warning", f"{missing} of {len(cases)} cases have no row", cure)
    if not patients.mapped(cases):
        cure = "Give it both columns, case and patient; private training needs them."
        return Line("patients table", "warning", "it does not say which cases are one person", cure)
    if table.without_row(cases) or not table.has_subject_map:
        return Line("patients table", "ok", f"{path}, and {source} where it does not say")
    return Line("patients table", "ok", f"{path} names every case")
