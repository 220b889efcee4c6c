"""The walk from nothing to an exported model, as the documents print it; a test takes every step of it.

Each hospital types its commands in a folder of its own, the coordinator in another. ``INVITE`` and ``RUN``
stand for what an earlier command printed.
"""

SITES = ("hospital-a", "hospital-b", "hospital-c")

COORDINATOR_COMMANDS = (
    "wardround coordinator init coordinator --address 127.0.0.1",
    "wardround coordinator invite hospital-a hospital-b hospital-c",
    "wardround coordinator up",
    "wardround coordinator start study.yaml",
    "wardround coordinator status RUN --watch",
    "wardround coordinator export RUN exported",
)
"""`up` runs until it is stopped, so that what follows is typed in a second terminal."""

SITE_COMMANDS = (
    "wardround site init --name hospital-a --data scans --patients scans/patients.csv",
    "wardround site check site.yaml",
    "wardround site enrol site.yaml --invite INVITE",
    "wardround site run site.yaml",
    "wardround site approve site.yaml tiny",
)
"""The node runs after the fourth; the fifth lets the study in, once there is one."""
