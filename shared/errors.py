"""Every error Wardround raises on purpose, split by who can act on it.

    WardroundError
    ├── ConfigError            whoever wrote the YAML or the command line       exit 2
    ├── DataError              the hospital engineer: the data set as a whole   exit 3
    │   ├── CaseError          ... one case only: it is skipped by name, the run goes on
    │   └── BusyError          ... another process is at the same; later it will do
    ├── PolicyError            the hospital: its own policy refuses a release   exit 4
    ├── CrashError             the hospital: a process that computed was killed exit 1
    └── FederationError        the coordinator                                  exit 5
        ├── QuorumError        too few sites answered in time
        ├── NothingTrainedError  a run in which no site contributed
        ├── CheckpointError    a checkpoint is missing, damaged or of another study
        ├── EnrolmentError     a site is not, or may not become, a member; `reason` says why
        └── WireError          a record does not have the agreed names, shapes or types

`code` is the only part of an error that may cross from a site to the coordinator (client/boundary.py):
it says what kind of thing went wrong and holds no text, path or patient. The message stays at home and
says what was found, what was expected and what to do next.
"""


class WardroundError(Exception):
    """Base of all deliberate errors; `code` may travel, the message may not."""

    code = "internal"
    exit_code = 1


class ConfigError(WardroundError):
    """A study, site or scenario file, or a command line, that cannot be used."""

    code = "config"
    exit_code = 2


class DataError(WardroundError):
    """A data set that cannot be used at all."""

    code = "data"
    exit_code = 3


class CaseError(DataError):
    """One case that cannot be used; `reason` is a short code such as ``label_missing``.

    The reason is counted and may cross to the coordinator; the message names files and stays at the site.
    """

    code = "data.case"

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class BusyError(DataError):
    """Another process holds what only one may have at a time; the same can be asked again later."""


class PolicyError(WardroundError):
    """The hospital's own policy refuses what was asked; `code` says which rule."""

    exit_code = 4

    def __init__(self, rule: str, message: str) -> None:
        super().__init__(message)
        self.code = f"policy.{rule}"


class CrashError(WardroundError):
    """A process that computed an answer died, mostly for want of memory."""

    code = "crashed"


class FederationError(WardroundError):
    """The run as a whole cannot go on."""

    code = "federation"
    exit_code = 5


class QuorumError(FederationError):
    """Fewer sites than the study's quorum answered before the deadline."""

    code = "federation.quorum"


class NothingTrainedError(FederationError):
    """No site contributed to any round: there is no model to speak of."""

    code = "federation.nothing_trained"


class CheckpointError(FederationError):
    """No usable checkpoint: missing, damaged, or written by another study."""

    code = "federation.checkpoint"


class EnrolmentError(FederationError):
    """A site is not a member or may not become one; `reason` is a code such as ``expired``."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.code = f"enrolment.{reason}"


class WireError(FederationError):
    """A record that does not have the agreed names, shapes, types or version."""

    code = "wire"
