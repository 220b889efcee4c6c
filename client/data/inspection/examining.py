"""Many cases examined at once: in processes, so that not even a crash of a decoder ends an inspection."""

from collections.abc import Callable, Collection, Iterator, Sequence
from functools import partial

from client.data.cures import cure
from client.data.inspection.examine import Examined, examine
from client.data.inspection.facts import CaseFacts, Fault
from client.data.layouts.base import Listed
from client.data.workers import each


def examined(
    listed: Sequence[Listed],
    drawn: Collection[str] = (),
    *,
    workers: int = 1,
    work: Callable[..., Examined] = examine,
) -> Iterator[tuple[str, Examined]]:
    """Yield (case, what was found) of every case, in the order in which they are ready.

    The cases in `drawn` get pictures. A case that kills its process twice has the fault `crashed`.
    """
    for item, found in each(partial(_examined, work, frozenset(drawn)), listed, workers):
        yield item.case, found or _crashed(item)


def _examined(work: Callable[..., Examined], drawn: frozenset[str], item: Listed) -> Examined:
    return work(item, draw=item.case in drawn)


def _crashed(item: Listed) -> Examined:
    files = ", ".join(map(str, item.images.values()))
    fault = Fault(
        case=item.case,
        reason="crashed",
        detail=f"{files}: the process that read it died, mostly for want of memory.",
        cure=cure("crashed"),
    )
    return Examined(CaseFacts(case=item.case, patient=item.patient, fault=fault))
