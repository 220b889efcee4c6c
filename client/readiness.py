"""The checks of `wardround site check` that need nobody else, from the data to the audit log."""

import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import psutil

from client.approvals import Approvals
from client.audit import Audit
from client.data import formats, layouts
from client.data.layouts.base import Listed
from client.data.patients import PatientTable
from client.policy import ASK
from client.site import Site
from shared.errors import CaseError, ConfigError, DataError, PolicyError
from shared.ports import free_port

State = Literal["ok", "warning", "problem", "not yet"]

MB = 10**6
SAMPLED_SCANS = 200  # headers read to estimate sizes
CACHE_BYTES_A_VOXEL = 5  # float32 image and uint8 label
MODELS_AND_REPORTS_MB = 500
PROCESS_MB = 1000  # Python with torch and MONAI: 460 MB measured, and room to work
TRAINING_BYTES_A_VOXEL = 1200  # a batch of two through a U-Net and back; 410 to 590 measured for one scan
SMALLEST_SHARE = 0.2  # of the patients, which an ordinary study validates on


@dataclass(frozen=True)
class Line:
    """What one check found, and what to do about it; `exit_code` is that of the error it stands for."""

    name: str
    state: State
    finding: str
    cure: str = ""
    exit_code: int = 0


def check_data(site: Site) -> Iterator[Line]:
    """Whether the layout is recognised, cases are found, and the table knows their patients."""
    layout = layouts.find(site.data, site.layout)
    listed, skipped = layout.list_cases(site.data)
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
    table = PatientTable.load(site.patients)
    patients = {table.patient_of(item.case) for item in listed}
    yield _table_line(site, table, listed)
    minimum = site.policy.minimum_patients
    if len(patients) < minimum:
        cure = "Add patients, or lower policy.minimum_patients if whoever protects patients' data agrees."
        found = f"{len(patients)} patients, policy.minimum_patients is {minimum}: nothing would ever leave"
        yield Line("patients", "problem", found, cure, code)
    elif len(patients) * SMALLEST_SHARE < minimum:
        found = (
            f"{len(patients)} patients: a study that validates on a fifth of them has about "
            f"{len(patients) * SMALLEST_SHARE:.0f}, below policy.minimum_patients {minimum}"
        )
        yield Line("patients", "warning", found, "Its figures of this site would be refused. Add patients.")
    else:
        yield Line("patients", "ok", f"{len(patients)} patients, policy.minimum_patients is {minimum}")


def _table_line(site: Site, table: PatientTable, listed: list[Listed]) -> Line:
    if site.patients is None:
        if site.one_patient_per_case:
            return Line("patients table", "ok", "none; the site states that every case is another person")
        cure = "Give `patients`, a CSV with the columns case and patient; private training needs it."
        return Line("patients table", "warning", "none: every case counts as a patient", cure)
    missing = table.without_row(item.case for item in listed)
    if missing == len(listed):
        cure = "Compare its column `case` with the file names, without .nii.gz."
        return Line("patients table", "problem", f"{site.patients} names none of the cases", cure, 3)
    if missing:
        cure = "Add their rows: without, each counts as a patient of its own and has no history."
        return Line("patients table", "warning", f"{missing} of {len(listed)} cases have no row", cure)
    if not table.has_subject_map:
        cure = "Give it both columns, case and patient; private training needs them."
        return Line("patients table", "warning", "it does not say which cases are one person", cure)
    return Line("patients table", "ok", f"{site.patients} names every case")


def check_disk(site: Site) -> Iterator[Line]:
    """Whether `work` can be written, is closed to others, and has room for a study."""
    work = site.work
    there = next(folder for folder in (work, *work.parents) if folder.exists())
    with tempfile.TemporaryFile(dir=there) as file:
        file.write(b"written")
        file.flush()
        os.fsync(file.fileno())
    yield Line("work folder", "ok", f"{there} can be written" if there == work else f"{work} can be made")
    if there == work and (mode := stat.S_IMODE(work.stat().st_mode)) & 0o077:
        cure = f"chmod 700 {work}"
        yield Line("work folder", "warning", f"{work} is open to others (mode {mode:o})", cure)
    free_mb = shutil.disk_usage(there).free // MB
    total, _largest = _voxels(site)
    needed_mb = total * CACHE_BYTES_A_VOXEL // MB + MODELS_AND_REPORTS_MB
    found = f"{free_mb:,} MB free, about {needed_mb:,} MB needed for one study"
    if free_mb < needed_mb:
        yield Line("disk", "problem", found, "Free space, or set `work` to a larger disk.", 2)
    elif free_mb < 2 * needed_mb:
        yield Line("disk", "warning", found, "A second study with another preprocessing would not fit.")
    else:
        yield Line("disk", "ok", found)


def check_memory(site: Site) -> Iterator[Line]:
    """Whether a study of scans as large as these would fit."""
    _total, largest = _voxels(site)
    available_mb = psutil.virtual_memory().available // MB
    needed_mb = PROCESS_MB + largest * TRAINING_BYTES_A_VOXEL // MB
    found = f"{available_mb:,} MB available, about {needed_mb:,} MB for a whole scan; less with windows"
    if available_mb < PROCESS_MB:
        yield Line("memory", "problem", found, f"At least {PROCESS_MB:,} MB are needed. Close others.", 2)
    elif available_mb < needed_mb:
        yield Line("memory", "warning", found, "Studies that train on whole scans may be too large here.")
    else:
        yield Line("memory", "ok", found)


def check_device(site: Site) -> Iterator[Line]:
    """Whether the device computes, and the threads have cores."""
    import torch  # noqa: PLC0415 - seconds; the checks before it should show at once

    try:
        device = torch.device(site.device)
        (torch.ones(2, device=device) + 1).sum().item()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        cure = "Set `device: cpu`, or install the driver and the PyTorch build for it."
        yield Line(
            "device", "problem", f"{site.device} cannot be used: {reason}", cure, ConfigError.exit_code
        )
    else:
        yield Line("device", "ok", f"{site.device} computes")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    found = f"{site.threads} of {cores} cores"
    if site.threads > cores:
        yield Line("threads", "warning", found, f"Set `threads: {cores}`: more are slower.")
    else:
        yield Line("threads", "ok", found)


def check_port(_site: Site) -> Iterator[Line]:
    """Whether the node can talk to its own processes."""
    try:
        number = free_port()
    except OSError as error:
        cure = "The node talks to itself on loopback. Allow that, and close what holds all ports."
        yield Line("port", "problem", f"no port on 127.0.0.1 is free: {error}", cure, 2)
    else:
        yield Line("port", "ok", f"a port on 127.0.0.1 is free ({number}); none is opened to the outside")


def check_policy(site: Site) -> Iterator[Line]:
    """Say what the policy refuses whatever the study, and what waits for a person."""
    policy = site.policy
    code = PolicyError.exit_code
    effects = {
        "enrolment": "the site can never join a study",
        "update": "the site takes no part in training",
        "segmentation": "the model is not judged at this site",
        "derivatives": "the site is left out of the reading order's fit",
        "reliability_bins": "the site is left out of the calibration's figures",
        "finished": "the coordinator does not learn that the reports are written",
    }
    unlisted = {kind: effect for kind, effect in effects.items() if kind not in policy.release}
    for kind, effect in unlisted.items():
        state: State = "problem" if kind == "enrolment" else "warning"
        cure = f"Add `{kind}` to policy.release, unless that is what you want."
        yield Line("policy", state, f"policy.release lacks {kind}: {effect}", cure, code)
    if policy.budget.updates == 0:
        yield Line("policy", "warning", "policy.budget.updates is 0: the site never trains", "Raise it.")
    if policy.studies != ASK and not policy.studies:
        yield Line("policy", "problem", "policy.studies is empty: every study is refused", "List some.", code)
    if policy.studies == ASK:
        approvals = Approvals(site.work, Audit(site.work / "audit.jsonl"))
        waiting = [one.study.name for one in approvals.pending()]
        approvals.decisions()  # raises if the file is damaged: then nothing counts as approved
        if waiting:
            cure = "Read them with `wardround site explain`, allow them with `wardround site approve`."
            yield Line("policy", "warning", f"studies wait for approval: {', '.join(waiting)}", cure)
    if not unlisted:
        asked = "after approval" if policy.studies == ASK else "that policy.studies allows"
        yield Line("policy", "ok", f"nothing is refused for good; studies take part {asked}")


def check_audit(site: Site) -> Iterator[Line]:
    """Whether the log is unbroken."""
    found = Audit(site.work / "audit.jsonl").inspect()
    yield Line("audit", "ok", f"{found.lines} lines, unbroken" + (f"; {found.note}" if found.note else ""))


def _voxels(site: Site) -> tuple[int, int]:
    """Voxels of all scans, from some of the headers, and of the largest; 0 where there are none to read."""
    try:
        listed, _ = layouts.find(site.data, site.layout).list_cases(site.data)
    except DataError:
        return 0, 0  # is a line of its own
    counts = []
    for item in listed[:: max(1, len(listed) // SAMPLED_SCANS)]:
        try:
            x, y, z = formats.header(item.only_image()).shape
        except CaseError:  # a case that cannot be read is skipped in a study, too
            continue
        counts.append(x * y * z)
    return (len(listed) * sum(counts) // len(counts), max(counts)) if counts else (0, 0)


CHECKS: tuple[tuple[str, Callable[[Site], Iterator[Line]]], ...] = (
    ("data", check_data),
    ("disk", check_disk),
    ("memory", check_memory),
    ("device", check_device),
    ("port", check_port),
    ("policy", check_policy),
    ("audit", check_audit),
)
"""All of them, in the order in which they are shown."""
