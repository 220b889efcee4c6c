"""What people at a hospital may do."""

ROLES = {
    "reader": "reads scans: worklist, scans, verdicts, uploads",
    "engineer": "keeps the node: data, studies, reports, accounts",
    "officer": "data protection: what left, the budget, who looked at what",
}
