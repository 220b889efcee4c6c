"""When a round counts; pure, no Flower.

- A round asks every enrolled site. A site's part in it ends as exactly one of
    used      its update is in the model
    late      it had not answered at the deadline, or was not connected
    failed    it said that it could not (its code), or Flower lost it
    refused   it answered, and admission did not accept the answer, or its own policy released none
- A round is valid when at least `quorum` sites were used. An invalid round changes nothing and ends the run
  with QuorumError; the checkpoint of the round before is kept, and `--resume` goes on from there.
- One message may ask several things. Each answer counts by itself; a reply with another number of answers is
  refused whole.
- One failed, late or refused site never ends a round, and is asked again in the next.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from shared.errors import NothingTrainedError, QuorumError
from shared.wire import Record

REFUSALS = ("policy.",)
OFFLINE = "offline"
DEADLINE = "deadline"
UNREADABLE = "wire"
TOO_LARGE = "too_large"
"""The reply is larger than `max_message_mb` altogether; the rest of it was not fetched."""


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


@dataclass(frozen=True)
class Found:
    """What a reply holds for one question; `record` is None unless the status is used."""

    record: Record | None
    status: str
    reason: str | None = None


def sort_out(
    records: Sequence[Record | None], kinds: Sequence[str], *, site: str | None, reason: str | None
) -> list[Found]:
    """Judge one reply to a message with as many questions as `kinds`, the answers expected, in order.

    `reason` says why there are no records; a None among `records` is one that cannot be read; `site` is whose
    answers they must be, where that is known.
    """
    if reason == TOO_LARGE:
        return [Found(None, "refused", "too_large")] * len(kinds)
    if reason is not None:
        return [Found(None, "late" if reason in (OFFLINE, DEADLINE) else "failed", reason)] * len(kinds)
    if len(records) != len(kinds):
        return [Found(None, "refused", "count")] * len(kinds)
    return [_found(record, kind, site) for record, kind in zip(records, kinds, strict=True)]


def _found(record: Record | None, kind: str, site: str | None) -> Found:
    if record is None:
        return Found(None, "failed", "wire")
    if record.kind == "failure":
        return Found(None, *of_failure(record))
    if record.kind != kind:
        return Found(None, "refused", f"kind.{record.kind}")
    if site is not None and record.fields["site"] != site:
        return Found(None, "refused", "site")
    return Found(record, "used")


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
