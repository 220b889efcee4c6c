"""Studies: what they ask, what would leave, yes or no; rounds as they go.

Engineers and officers look; an engineer answers, because the answer starts work on this machine.
"""

from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Annotated, Any, Literal

import yaml
from fastapi import APIRouter, Form, HTTPException
from fastapi import Path as InPath
from pydantic import BaseModel
from starlette.responses import PlainTextResponse, Response

from client import explain_words
from client.approvals import Decision
from client.explanation import Explanation, Leaving
from client.policy import ANY, ASK
from client.study_words import asks
from client.web.desk import AtDesk, Desk, QuietOfficer
from client.web.gain import Score, gain, joint_score
from client.web.hospital import Engineer, Officer
from shared.errors import ConfigError
from shared.study import Study
from shared.web.downloads import saved_as
from shared.web.look import local
from shared.web.visit import Visit

router = APIRouter()
FIRST_WAIT_S = 0.3
"""So long a page waits for the coordinator, which mostly answers within it; afterwards it polls."""

Digest = Annotated[str, InPath(pattern="^[0-9a-f]{64}$")]
CHECKED = ("case", "study ")  # the beginning of the lines that `wardround site check` has about a study
PHASES = {
    "enrolment": "sites are asked to take part",
    "statistics": "histograms are summed",
    "training": "the sites train",
    "evaluation": "the model is judged",
    "calibration": "the reading order is fitted",
    "finish": "reports are written",
    "done": "done",
    "failed": "failed",
}
OWN_STATES = {
    "enrolled": "has agreed to take part",
    "awaited": "owes an answer: it computes, or is not running",
    "used": "its last answer was used",
    "late": "its last answer came too late and was not used",
    "failed": "could not answer last time",
    "refused": "its last answer was refused",
    "approval": "waits for a person here to approve the study",
}


@dataclass(frozen=True)
class Standing:
    """Where one study stands at this site."""

    word: str  # waits, approved, refused, withdrawn, listed, not listed or not asked
    mark: str  # class of the coloured dot
    decision: Decision | None = None
    asked: str | None = None  # ISO 8601, UTC

    @property
    def may_run(self) -> bool:
        """Whether the node takes part."""
        return self.word in {"approved", "listed"}


class Given(BaseModel):
    """A person's answer; `start` is how they say the digest begins, `read` that they read it all."""

    choice: Literal["approve", "refuse", "withdraw"]
    start: str = ""
    read: str = ""


@router.get("/studies")
def studies(visit: Officer, desk: AtDesk) -> Response:
    """Show what waits, what runs, and what was decided."""
    told = desk.elsewhere.told()
    if told.enrolled_with and not told.asked:
        desk.elsewhere.wait(FIRST_WAIT_S)
    totals = desk.log.totals()
    return _shown(
        visit,
        "studies.html",
        told=desk.elsewhere.told(),
        waiting=desk.approvals.pending(),
        decisions=sorted(desk.approvals.decisions().values(), key=lambda one: one.time, reverse=True),
        runs=sorted(totals.runs.values(), key=lambda run: run.agreed, reverse=True),
        known=lambda digest: desk.study(digest) is not None,
        site=desk.site,
        site_file=desk.hospital.site_file.name,
        scores={run.study: _score(desk, run.study) for run in totals.runs.values()},
        standing=lambda study: _standing(desk, study),
    )


@router.get("/studies/live")
def live(visit: QuietOfficer, desk: AtDesk) -> Response:
    """Show the runs under way, as the page does; asked again and again."""
    return _shown(
        visit, "studies_live.html", told=desk.elsewhere.told(), standing=lambda study: _standing(desk, study)
    )


@router.get("/studies/{digest}")
def study(digest: Digest, visit: Officer, desk: AtDesk) -> Response:
    """Show one study."""
    return _page(visit, desk, digest)


@router.get("/studies/{digest}/leaving")
def leaving(digest: Digest, visit: QuietOfficer, desk: AtDesk) -> Response:
    """Show what would leave, once it is worked out; a part of the study's page."""
    found = _study(desk, digest)
    explained, error = _explanation(desk, found)
    return _shown(visit, "study_leaving.html", study=found, explained=explained, error=error)


@router.get("/studies/{digest}/fit")
def fit(digest: Digest, visit: QuietOfficer, desk: AtDesk) -> Response:
    """Show whether the data fit, as far as that was asked for; a part of the study's page."""
    found = _study(desk, digest)
    return _shown(visit, "study_fit.html", study=found, **_fit(desk, found))


@router.post("/studies/{digest}/fit")
def check_fit(digest: Digest, visit: Engineer, desk: AtDesk) -> Response:
    """Begin to prepare every case as the study would."""
    found = _study(desk, digest)
    desk.aside.forget("check", found)
    desk.aside.answer("check", found)
    return visit.go(f"/studies/{digest}#fit")


@router.get("/studies/{digest}/leaving.txt")
def leaving_text(digest: Digest, visit: Officer, desk: AtDesk) -> Response:  # noqa: ARG001 - only those may
    """Give the page that is printed and signed."""
    explained, error = _explanation(desk, _study(desk, digest))
    if explained is None:
        return PlainTextResponse(
            f"{error or 'It is still being worked out. Try again in some seconds.'}\n", 503
        )
    return PlainTextResponse(explained.text(), headers=saved_as(f"what-leaves-{digest[:12]}.txt"))


@router.get("/studies/{digest}/answer")
def ask(digest: Digest, visit: Engineer, desk: AtDesk) -> Response:
    """Ask for the answer once more, with the digest."""
    return _answer_page(visit, desk, _study(desk, digest))


@router.post("/studies/{digest}/answer")
def answer(digest: Digest, visit: Engineer, desk: AtDesk, given: Annotated[Given, Form()]) -> Response:
    """Approve, refuse or withdraw."""
    found = _study(desk, digest)
    by = visit.account.name
    if given.choice == "withdraw":
        desk.approvals.withdraw(digest, by=by)
        said = f"The approval of {found.name} is withdrawn. The node trains no further under it."
    elif given.choice == "refuse":
        if _standing(desk, found).word == "approved":
            raise ConfigError(f"{found.name} is approved. Withdraw the approval instead.")
        desk.approvals.refuse(found, by=by)
        said = f"{found.name} is refused. The coordinator is told that there is no approval, and no more."
    else:
        if desk.site.policy.studies != ASK:
            raise ConfigError(
                "policy.studies in site.yaml says which studies take part; none is approved here."
            )
        if given.start.strip().lower() != digest[:8] or not given.read:
            why = "Tick that you have read it, and type the first 8 characters of the digest."
            return _answer_page(visit, desk, found, why=why, status=422)
        desk.approvals.approve(found, by=by)
        said = f"{found.name} is approved. The node takes part from the coordinator's next question on."
    return visit.go(f"/studies/{digest}", said=said)


def _page(visit: Officer, desk: Desk, digest: str) -> Response:
    found = _study(desk, digest)
    explained, error = _explanation(desk, found)
    told = desk.elsewhere.told()
    return _shown(
        visit,
        "study.html",
        study=found,
        asks=asks(found),
        standing=_standing(desk, found),
        explained=explained,
        error=error,
        gain=gain(desk.site, found),
        gained=any(run.study == digest for run in desk.log.totals().runs.values()),
        run=told.run_of(digest),
        told=told,
        text=yaml.safe_dump(found.model_dump(mode="json"), sort_keys=False, allow_unicode=True, width=100),
        asked_here=desk.site.policy.studies == ASK,
        site=desk.site,
        **_fit(desk, found),
    )


def _answer_page(
    visit: Engineer, desk: Desk, found: Study, *, why: str | None = None, status: int = 200
) -> Response:
    explained, error = _explanation(desk, found)
    return _shown(
        visit,
        "study_answer.html",
        status=status,
        study=found,
        standing=_standing(desk, found),
        explained=explained,
        error=error,
        asked_here=desk.site.policy.studies == ASK,
        why=why,
    )


def _shown(visit: Visit, template: str, *, status: int = 200, **values: Any) -> Response:
    return visit.page(
        template,
        status=status,
        moment=moment,
        phase=phase,
        own_state=own_state,
        words=explain_words,
        **values,
    )


def moment(text: str) -> str:
    """Return a time in ISO 8601 as the clock on this machine's wall shows it."""
    return local(datetime.fromisoformat(text))


def phase(word: str) -> str:
    """Say what a run does."""
    return PHASES.get(word, word)


def own_state(word: str) -> str:
    """Say where this site stands in a run."""
    return OWN_STATES.get(word, word)


def _study(desk: Desk, digest: str) -> Study:
    found = desk.study(digest)
    if found is None:
        raise HTTPException(404)
    return found


def _standing(desk: Desk, found: Study) -> Standing:
    policy, digest = desk.site.policy, found.digest()
    if policy.studies != ASK:
        listed = policy.studies == ANY or policy.lists(found)
        return Standing("listed", "good") if listed else Standing("not listed", "bad")
    decision = desk.approvals.decisions().get(digest)
    if decision is not None and decision.approved:
        return Standing("approved", "good", decision)
    asked = next((one.asked for one in desk.approvals.pending() if one.study.digest() == digest), None)
    if asked is not None:
        return Standing("waits", "waiting", decision, asked)
    if decision is not None:
        return Standing(decision.word, "bad" if decision.refused else "warn", decision)
    return Standing("not asked", "")


def _explanation(desk: Desk, found: Study) -> tuple[Explanation | None, str | None]:
    """Return what would leave; nothing while it is worked out, or the error in words."""
    site = desk.site
    approved = site.policy.studies == ASK and desk.approvals.approved(found.digest())
    policy = sha256(f"{site.name} {site.policy.model_dump_json()} {approved}".encode()).hexdigest()
    done = desk.aside.answer("explain", found, policy)
    if done is None or done.error is not None:
        return None, None if done is None else done.error
    (values,) = done.values
    known = {key: values[key] for key in ("site", "study", "digest", "version", "private")}
    return Explanation(
        **known,
        leaving=tuple(Leaving(**one) for one in values["leaving"]),
        refusals=tuple(values["refusals"]),
    ), None


def _fit(desk: Desk, found: Study) -> dict[str, Any]:
    done = desk.aside.answer("check", found, begin=False)
    lines = [line for line in (done.values or ()) if line["name"].startswith(CHECKED)] if done else []
    return {
        "fit_running": desk.aside.is_running("check", found),
        "fit_error": done.error if done else None,
        "fit_lines": lines,
    }


def _score(desk: Desk, digest: str) -> Score | None:
    found = desk.study(digest)
    return None if found is None else joint_score(desk.site, found)
