"""What people at the coordinator may do."""

ROLES = {
    "coordinator": "invites sites, writes studies, starts and stops runs, keeps accounts",
    "observer": "looks only: board, runs, studies, calibration",
}
