"""One cure, in words, for every reason for which a case is not used.

The error's own text says what was found in which file; this says what a person at the hospital does next.
"""

from collections.abc import Mapping

CURES: Mapping[str, str] = {
    # Files that are missing, surplus or in the wrong place (layouts).
    "image_missing": "Add the image that belongs to this label, or move the label away.",
    "label_missing": "Add the label if this scan is to be trained on. Without one it can only be read.",
    "region_missing": "Add the mask of the region that is looked at, or name none in the manifest.",
    "channel_missing": "Add the missing channel, or move the case away: all cases need the same channels.",
    "duplicate_case": "Keep one of the files that claim this case and move the others out of the folder.",
    "patient_mismatch": "Find out whose files these are, and give each patient's a case of its own.",
    "label_ambiguous": "Keep the series that the label was drawn on, or name the pair in a manifest.csv.",
    "several_series": "Give each series a folder of its own, or export only the one that was labelled.",
    "not_an_image": "Nothing to do if it is a report or the like. Otherwise export the images themselves.",
    "not_in_layout": "Rename or move it as the layout wants, or list it in a manifest.csv.",
    "header_missing": "Put the header (.hdr, .mhd) beside the voxels, under the same name.",
    "outside_folder": "Copy the scans into the folder; links and paths that lead out of it are not followed.",
    "outside_file": "Copy the file of voxels beside its header and name it there without a path.",
    # Files that cannot be read (formats).
    "unreadable": "Export or copy it again, for it is damaged or cut off. Remove it if it is no scan.",
    "unsupported_format": "Convert it to NIfTI, MetaImage, DICOM or TIFF.",
    "unsupported_type": "Convert it to plain integers or floats: NIfTI, or DICOM that is not deflated.",
    "too_large": "Crop it or export fewer slices. If it is no larger than it should be, it is damaged.",
    "crashed": "Try it alone with --workers 1 on a machine with more memory; if that fails, leave it out.",
    "not_3d": "Export one volume a file: split a time series, and export slices with their places.",
    "bad_affine": "Export it again with its place and spacing; the original from the scanner has them.",
    "duplicate_slice": "Remove the slices that are there twice, or export the series again.",
    "missing_slice": "Fetch the missing slices from the archive, or export the series again.",
    "uneven_spacing": "Export the series without localisers and gaps, or resample it to even slices.",
    "mixed_series": "Take the slices of another size, type or direction out of the folder.",
    # Image and label that do not go together (checks).
    "shape_mismatch": "Export label and image on one grid. Often the label is of another series.",
    "affine_mismatch": "Export label and image on one grid. Moving the label by hand hides a wrong pair.",
    "not_finite": "Replace NaN and infinity with background in the tool that wrote them, and export again.",
    "empty_image": "Export it again: every voxel has the same value. Leave it out if the scan is blank.",
    "label_values": "Write whole numbers from 0, one a structure. A mask that was interpolated is redrawn.",
    "empty_label": "Keep it if this scan holds no finding. If it should hold one, export the label again.",
    "overlapping_segments": "Give each structure a label of its own, or decide whose the shared voxels are.",
    "unsupported_channels": "Give the study as many channels as the case has, or export one image a case.",
    "unsupported_label": "Choose a study whose truth is of this kind, or give a label on the image's grid.",
    # What can be used, but should be looked at (inspection).
    "duplicate_pixels": "Keep one, or give all the same patient in patients.csv. Otherwise one scan may both "
    "train the model and judge it.",
    "duplicate_channel": "Check the export: two channels of a case hold the same picture.",
}
"""By reason code; a test compares with the codes in the source."""

UNKNOWN = "Read the text above, correct the file or leave it out."


def cure(reason: str) -> str:
    """Return what to do about a reason, in one sentence or two."""
    return CURES.get(reason, UNKNOWN)
