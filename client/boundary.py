"""Two audiences for one failure: the whole story in the site's own log, a code and a count on the wire."""

import logging
from collections.abc import Callable

from client.approvals import AskedAgainError
from client.gate import Gate, Released
from shared.errors import CaseError, WardroundError
from shared.wire import Record

INTERNAL = "internal"


def guarded(answer: Callable[[], Record], *, gate: Gate, site: str, log: logging.Logger) -> Released:
    """Run `answer` and release what it returns; any failure becomes a `failure` record.

    Nothing of an exception but its class's declared code leaves: not its text, type or traceback.
    """
    try:
        return gate.release(answer())
    except Exception as error:
        waiting = error if isinstance(error, AskedAgainError) else None
        if waiting is None or not waiting.known:
            log.exception("this site could not answer")
        code = error.code if isinstance(error, WardroundError) else INTERNAL
        cases = 1 if isinstance(error, CaseError) else 0
        failure = Record("failure", {"site": site, "code": code, "cases": cases})
        return gate.release(failure, repeated=waiting.about if waiting else None)
