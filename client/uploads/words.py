"""What to do about a file of an upload that was not read, in plain words."""

from client.data.cures import cure

BESIDE_CURE = "Nothing to do if it is a report or the like. Else send NIfTI, DICOM, MetaImage, TIFF or a zip."
CURES = {
    "not_a_scan": BESIDE_CURE,
    "archive_refused": "Pack the scans again as a plain zip, or send the folder itself.",
    "too_much": "Crop the scan or send fewer at a time; an engineer can raise `uploads` in site.yaml.",
    "not_taken": "Correct what is said and send the file again.",
    "name_taken": "Rename the file, so that no scan takes the place of another.",
    "duplicate_case": "Nothing to do if it is the same scan. Else rename one of them and send it again.",
    "not_in_layout": "Send each scan as a file of its own, or each DICOM series as a folder or zip.",
    "crashed": "It may need more memory than there is. Send it alone; if that fails too, tell an engineer.",
    "not_read": "Tell an engineer: the file work/uploads.log says where it went wrong. Then send it again.",
}
"""By reason code, where sending asks for something else than client/data/cures.py does."""


def cure_of(reason: str) -> str:
    """Return what to do about a reason, in one sentence or two."""
    return CURES.get(reason) or cure(reason)
