"""Which scan an address means: addresses hold keyed pseudonyms, and nobody can compute a name from one.

Each listed case is hashed once and found by a look-up from then on. A pseudonym is no secret: it stands in
addresses and file names, and who may look is asked before. So a comparison may tell by its time how far it
agrees. No scan ever leaves the worklist: there is one entry for each, and none for what somebody made up.
"""

from collections.abc import Callable, Collection
from threading import Lock


class Addresses:
    """The cases by pseudonym, safe to use from several threads.

    scan_name : pseudonym of a case
    cases : all that are listed by now; asked again only for a pseudonym that is not known yet
    """

    def __init__(self, scan_name: Callable[[str], str], cases: Callable[[], Collection[str]]) -> None:
        self._scan_name = scan_name
        self._listed = cases
        self._cases: dict[str, str] = {}
        self._known: set[str] = set()
        self._renewing = Lock()

    def case_of(self, scan: str) -> str | None:
        """Return the case behind a pseudonym; None where none is listed."""
        if scan not in self._cases:
            with self._renewing:
                for case in set(self._listed()) - self._known:
                    self._cases[self._scan_name(case)] = case
                    self._known.add(case)
        return self._cases.get(scan)
