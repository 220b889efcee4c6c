"""When a round counts; pure, no Flower.

- A round asks every enrolled site. A site's part in it ends as exactly one of
    used      its update is in the model
    late      it had not answered at the deadline
    failed    it said that it could not (its code), or Flower lost it
    refused   it answered, and admission did not accept the answer, or its own policy released none
- A round is valid when at least `quorum` sites were used. An invalid round changes nothing and ends the run
  with QuorumError; the checkpoint of the round before is kept, and `--resume` goes on from there.
- One failed, late or refused site never ends a round, and is asked again in the next.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from shared.errors import NothingTrainedError, QuorumError
from shared.wire import Record

REFUSALS = ("policy.",)


@dataclass(frozen=True)
class Outcome:
    """What became of one site in one exchange."""

    status: str
    reason: str | None = None
    patients: int = 0
    seconds: float = 0.0
    bytes_up: int = 0
    bytes_down: int = 0


def of_failure(record: Record) -> tuple[str, str]:
    """Status and reason of a ``failure`` record."""
    code = record.text("code")
    return ("refused" if code.startswith(REFUSALS) else "failed"), code


def require_quorum(
    outcomes: Mapping[str, Outcome], *, round_number: int, quorum: int, trained_before: bool
) -> None:
    """Raise QuorumError, or NothingTrainedError when no round ever used a site."""
    used = [site for site, outcome in outcomes.items() if outcome.status == "used"]
    if len(used) >= quorum:
        return
    story = "; ".join(
        f"{site} {o.status}" + (f" ({o.reason})" if o.reason else "") for site, o in sorted(outcomes.items())
    )
    message = (
        f"round {round_number}: {len(used)} site(s) contributed, the study's quorum is {quorum}. {story}. "
        "Mend the sites or lower strategy.quorum, then run again with --resume."
    )
    if not used and not trained_before:
        raise NothingTrainedError(f"nothing was trained. {message}")
    raise QuorumError(message)
