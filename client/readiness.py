"""The checks of `wardround site check` that need nobody else, from the data to the audit log."""

import math
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator

import psutil

from client.approvals import Approvals
from client.audit import Audit
from client.check_line import Line, State
from client.data import formats, layouts
from client.data_check import check_data
from client.policy import ASK
from client.site import Site
from shared.errors import CaseError, ConfigError, DataError, PolicyError
from shared.ports import free_port

MB = 10**6
SAMPLED_SCANS = 200  # headers read to estimate sizes
CHANNEL_BYTES, LABEL_BYTES = 4, 1  # of a voxel in the cache
MODELS_AND_REPORTS_MB = 500
PROCESS_MB = 1000  # Python with torch and MONAI: 460 MB measured, and room to work
TRAINING_BYTES_A_VOXEL = 1200  # a batch of two through a U-Net and back; 410 to 590 measured for one scan


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
    cached, _largest = _sizes(site)
    needed_mb = cached // MB + MODELS_AND_REPORTS_MB
    found = f"{free_mb:,} MB free, about {needed_mb:,} MB needed for one study"
    if free_mb < needed_mb:
        yield Line("disk", "problem", found, "Free space, or set `work` to a larger disk.", 2)
    elif free_mb < 2 * needed_mb:
        yield Line("disk", "warning", found, "A second study with another preprocessing would not fit.")
    else:
        yield Line("disk", "ok", found)


def check_memory(site: Site) -> Iterator[Line]:
    """Whether a study of scans as large as these would fit."""
    _cached, largest = _sizes(site)
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
        "held_out_losses": "the site has no say in which calibration is used",
        "score_histograms": "the site has no bounds of its own from where on a scan is urgent",
        "reliability_bins": "the site is left out of the calibration's figures",
        "voxel_counts": "the site has no part in calibrating the probability map",
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
        decisions = approvals.decisions()  # raises if damaged: then nothing counts as approved
        if waiting:
            cure = (
                "Read them with `wardround site explain`, allow them with `wardround site approve`; "
                "`wardround site check SITE STUDY` says whether the data fit."
            )
            yield Line("policy", "warning", f"studies wait for approval: {', '.join(waiting)}", cure)
        if approved := [one.name for one in decisions.values() if one.approved]:
            yield Line("policy", "ok", f"studies approved: {', '.join(approved)}")
    if not unlisted:
        asked = "after approval" if policy.studies == ASK else "that policy.studies allows"
        yield Line("policy", "ok", f"nothing is refused for good; studies take part {asked}")


def check_audit(site: Site) -> Iterator[Line]:
    """Whether the log is unbroken."""
    found = Audit(site.work / "audit.jsonl").inspect()
    yield Line("audit", "ok", f"{found.lines} lines, unbroken" + (f"; {found.note}" if found.note else ""))


def _sizes(site: Site) -> tuple[int, int]:
    """Bytes of all scans in the cache, from some of the headers, and voxels of the largest scan.

    Both are 0 where there is no header to read.
    """
    try:
        listed, _ = layouts.find(site.data, site.layout).list_cases(site.data)
    except DataError:
        return 0, 0  # is a line of its own
    cached, voxels = [], []
    for item in listed[:: max(1, len(listed) // SAMPLED_SCANS)]:
        try:
            header = formats.header(next(iter(item.images.values())), site.limits)
        except CaseError:  # a case that cannot be read is skipped in a study, too
            continue
        voxels.append(math.prod(header.shape))
        numbers = len(item.images) * header.components
        cached.append(voxels[-1] * (numbers * CHANNEL_BYTES + LABEL_BYTES))
    return (len(listed) * sum(cached) // len(cached), max(voxels)) if voxels else (0, 0)


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
