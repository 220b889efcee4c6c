"""Codes and identifiers of the DICOM objects made here.

Where DICOM, SNOMED CT or UCUM has a code it is used. What they have none for has one of our own, under a
designator that begins with 99 as PS3.3 section 8.2 asks of private coding schemes.
"""

import re

from highdicom.coding_schemes import CodingSchemeIdentificationItem
from highdicom.sr import CodedConcept
from pydicom.uid import generate_uid

from client.result import NOTICE, Result

OWN = "99WARDROUND"
MAKER = "Wardround"
SERIES_DESCRIPTION = f"Wardround. {NOTICE}"

ABNORMAL = CodedConcept("49755003", "SCT", "Morphologically Abnormal Structure")
STRUCTURE = CodedConcept("91723000", "SCT", "Anatomical Structure")
NEOPLASM = CodedConcept("108369006", "SCT", "Neoplasm")
LESION = CodedConcept("52988006", "SCT", "Lesion")
TISSUE = CodedConcept("85756007", "SCT", "Tissue")
ORGANS = {
    "liver": CodedConcept("10200004", "SCT", "Liver"),
    "lung": CodedConcept("39607008", "SCT", "Lung"),
    "kidney": CodedConcept("64033007", "SCT", "Kidney"),
    "brain": CodedConcept("12738006", "SCT", "Brain"),
}
TUMOUR = re.compile(r"tumou?r|neoplasm|cancer|metasta|carcinoma")
AI = CodedConcept("123110", "DCM", "Artificial Intelligence")

VOLUME = CodedConcept("118565006", "SCT", "Volume")
LONG_AXIS = CodedConcept("103339001", "SCT", "Long Axis")
SHORT_AXIS = CodedConcept("103340004", "SCT", "Short Axis")
MEAN_PROBABILITY = CodedConcept("mean_probability", OWN, "Mean probability of its voxels")
PRIORITY = CodedConcept("priority", OWN, "Suggested reading priority")
PROBABILITY = CodedConcept("urgent_probability", OWN, "Calibrated probability of being urgent")
LOWEST = CodedConcept("urgent_probability_low", OWN, "Lower end of the 95 % interval")
HIGHEST = CodedConcept("urgent_probability_high", OWN, "Upper end of the 95 % interval")
LOG_ODDS = CodedConcept("urgent_log_odds", OWN, "Log-odds of being urgent")
FINDINGS = CodedConcept("findings", OWN, "Number of findings")
SUM_OF_DIAMETERS = CodedConcept("sum_of_diameters", OWN, "Sum of diameters")
COMMENT = CodedConcept("121106", "DCM", "Comment")

MILLILITRE = CodedConcept("ml", "UCUM", "milliliter")
MILLIMETRE = CodedConcept("mm", "UCUM", "millimeter")
PERCENT = CodedConcept("%", "UCUM", "Percent")
NO_UNIT = CodedConcept("1", "UCUM", "no units")

PROCEDURES = {
    "CT": CodedConcept("25045-6", "LN", "CT unspecified body region"),
    "MR": CodedConcept("25056-3", "LN", "MRI unspecified body region"),
    "PT": CodedConcept("44136-0", "LN", "PET unspecified body region"),
}
ANY_PROCEDURE = CodedConcept("363679005", "SCT", "Imaging procedure")


def tier_code(tier: str) -> CodedConcept:
    """Name a tier, as FHIR's request-priority does."""
    return CodedConcept(tier, OWN, f"{tier} (FHIR request priority)")


def property_of(name: str, *, finding: bool) -> tuple[CodedConcept, CodedConcept]:
    """Category and type of a study's class, as far as its name tells."""
    if TUMOUR.search(name):
        return ABNORMAL, NEOPLASM
    if finding:
        return ABNORMAL, LESION
    organ = next((code for word, code in ORGANS.items() if word in name), TISSUE)
    return STRUCTURE, organ


def uid_of(result: Result, *parts: object) -> str:
    """Return an identifier that is the same for the same result: made again, it is the same object."""
    return str(generate_uid(entropy_srcs=[MAKER, result.source_digest, *map(str, parts)]))


def coding_scheme() -> CodingSchemeIdentificationItem:
    """Say whose the codes of our own are."""
    return CodingSchemeIdentificationItem(OWN, name="Wardround", responsible_organization=MAKER)
