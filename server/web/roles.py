"""What people at the coordinator may do."""

ROLES = {
    "coordinator": "everything: studies, runs, invites, accounts",
    "observer": "looks only: the board, studies, calibration",
}
