"""States and reasons in plain words, for somebody who has not read the code.

The codes are those of the board (server/board.py), of rounds and admission, and of the hospitals' own
`policy.` rules; docs/coordinator.md has the same in a table.
"""

from datetime import datetime

from server.report_text import detected, estimate, fraction
from shared.pages import Filters
from shared.web.look import local

STATES = {
    "waiting": ("waiting", "waits for the coordinator"),
    "running": ("waiting", "running"),
    "stopping": ("warn", "is being stopped"),
    "stopped": ("warn", "stopped"),
    "failed": ("bad", "failed"),
    "finished": ("good", "finished"),
}
"""Of a run: the class of its mark and its words."""
ANSWERS = {
    "enrolled": ("good", "takes part"),
    "awaited": ("waiting", "awaited"),
    "used": ("good", "used"),
    "late": ("warn", "late"),
    "failed": ("bad", "failed"),
    "refused": ("bad", "refused"),
    "approval": ("warn", "waits for approval"),
}
"""Of a site in a run."""
PHASES = {
    "enrolment": "asking the sites to take part",
    "statistics": "asking the sites for statistics",
    "training": "training",
    "evaluation": "judging the last model on test patients",
    "calibration": "calibrating the priority",
    "finish": "telling the sites the result",
    "done": "done",
    "failed": "failed",
}
REASONS = {
    "offline": "not connected. Is the hospital's node up?",
    "deadline": "no answer before the study's deadline",
    "started": "the run started without it",
    "wire": "its answer could not be read",
    "too_large": "its answer is larger than max_message_mb",
    "count": "it gave another number of answers than was asked for",
    "site": "its answer was in another site's name",
    "identity": "its answer was in another site's name",
    "site_twice": "another node has this name already",
    "study": "it works under another study",
    "version": "it has another version of Wardround",
    "content": "what it said cannot stand in the results",
    "run": "its answer was for another run",
    "round": "its answer was for another round",
    "patients": "it claims more patients than it enrolled with, or none",
    "epsilon": "it claims to have spent more privacy than the study allows",
    "names": "its update has other tensors than the model",
    "shapes": "its update has tensors of other shapes",
    "types": "its update has tensors of another type",
    "not_finite": "its update holds NaN or infinity",
    "norm": "its update is larger than strategy.max_update_norm",
    "data": "it cannot use its data; its site.log has the story",
    "data.case": "it cannot use a case; its site.log has the story",
    "config": "its configuration cannot be used; its site.log has the story",
    "crashed": "its process was killed, mostly for want of memory",
    "internal": "something broke there; its site.log has the story",
    "audit": "its audit log is shorter or other than it was. Speak to the hospital.",
    "clock": "its clock is wrong",
    "policy.approval": "its people have not allowed the study yet",
    "policy.study": "its people have refused the study",
    "policy.budget": "its budget is spent",
    "policy.hours": "it trains at other hours",
    "policy.minimum": "too few patients behind a figure for its policy",
    "policy.minimum_patients": "it has fewer patients than its own policy asks for",
    "policy.kind": "its policy does not release this kind of answer",
    "policy.privacy": "its policy asks for differential privacy",
    "policy.audit": "its audit log cannot be written",
    "policy.bundle": "it runs other code than the coordinator",
    "policy.not_finite": "its answer held NaN or infinity and stayed at home",
    "federation.quorum": "fewer sites contributed than the study's quorum",
    "federation.nothing_trained": "no site contributed to any round",
    "federation.checkpoint": "no checkpoint can be used",
}


def in_words(reason: str | None) -> str:
    """Say a reason; one that is not a code, or is not known, stands as it is."""
    if not reason:
        return ""
    return REASONS.get(reason, f"its own policy: {reason[7:]}" if reason.startswith("policy.") else reason)


def run_state(state: str) -> tuple[str, str]:
    """Class and words of a run's state."""
    return STATES.get(state, ("", state))


def answer(state: str) -> tuple[str, str]:
    """Class and words of what a site last did in a run."""
    return ANSWERS.get(state, ("", state))


def phase(name: str) -> str:
    """Words of what a run does now."""
    return PHASES.get(name, name)


def moment(seconds: float) -> str:
    """Return a time in seconds since 1970 as this machine's clock shows it; 0 is never."""
    return local(datetime.fromtimestamp(seconds).astimezone()) if seconds else "never"


def signed(value: float, digits: int = 2) -> str:
    """``+0.03``: a difference."""
    return f"{round(value, digits) + 0.0:+.{digits}f}"  # adding 0.0 turns a rounded -0.0 into 0.0


FILTERS: Filters = {
    "in_words": in_words,
    "run_state": run_state,
    "answer": answer,
    "phase": phase,
    "moment": moment,
    "signed": signed,
    "fraction": fraction,
    "estimate": estimate,
    "detected": detected,
}
