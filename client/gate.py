"""The one way out of a hospital.

What holds here, and is tested:
- only this module makes a `Released`, and client/messages.py sends nothing else;
- a record leaves only if the site's policy lists its kind, it sums over at least the policy's minimum of
  patients, and every number in it is finite;
- each release and each refusal is in the audit log before the answer is sent: as a line of its own, or, for
  an answer that is given again and again, counted as client/repeats.py says;
- a failure leaves as a code and a count (client/boundary.py), through here as well; no policy silences it,
  nor what the node tells the control service about itself.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from client.audit import Audit
from client.policy import CONTROL, Policy
from client.repeats import Repeats
from shared.errors import PolicyError
from shared.wire import RECORDS, Record, Scalar

ALWAYS = CONTROL | {"failure"}
"""Kinds that leave whatever `policy.release` lists."""

COUNTS_ONLY = ALWAYS | {"enrolment", "finished"}
"""Kinds that hold nothing but counts and codes, so no minimum of patients applies."""


@dataclass(frozen=True)
class Released:
    """A record that the gate has let through. Only `Gate.release` makes one."""

    record: Record


class Gate:
    """Applies one site's policy to what would leave it."""

    def __init__(self, policy: Policy, audit: Audit) -> None:
        self._policy = policy
        self._audit = audit
        self._repeats = Repeats(audit)

    def release(self, record: Record, *, repeated: Mapping[str, Scalar] | None = None) -> Released:
        """Let `record` out, or raise PolicyError; both are audited.

        `repeated` says of an answer that is given again and again what it is about; it need not be a line of
        the audit log each time.
        """
        with self._refusing(record.kind):
            self._check(record)
        facts: dict[str, Scalar] = {
            "kind": record.kind,
            "bytes": record.size_bytes,
            "patients": int(record.fields.get("patients", 0)),
            "round": int(record.fields.get("round", 0)),
        }
        if record.kind == "failure":
            facts["code"] = record.text("code")
        if repeated is None:
            self._repeats.settle()
            self._audit.append("released", **facts)
        else:
            self._repeats.append(**facts, **repeated)
        return Released(record)

    def require(self, kind: str) -> None:
        """Raise PolicyError, audited, for a kind that could never leave: before the work for it is done."""
        with self._refusing(kind):
            self._check_kind(kind)

    @contextmanager
    def _refusing(self, kind: str) -> Iterator[None]:
        try:
            yield
        except PolicyError as refusal:
            self._audit.append("refused", kind=kind, code=refusal.code)
            raise

    def _check_kind(self, kind: str) -> None:
        allowed = kind in ALWAYS or kind in self._policy.release
        if not RECORDS[kind].leaves_site or not allowed:
            raise PolicyError("kind", f"policy.release does not list {kind!r}: {list(self._policy.release)}")

    def _check(self, record: Record) -> None:
        policy = self._policy
        self._check_kind(record.kind)
        if record.kind not in COUNTS_ONLY:
            patients = record.integer("patients")
            if patients < policy.minimum_patients:
                raise PolicyError(
                    "minimum_patients",
                    f"{record.kind} sums over {patients} patients; policy.minimum_patients is "
                    f"{policy.minimum_patients}. Add patients or change the policy.",
                )
        values = [
            *record.arrays.values(),
            *(np.asarray(v) for v in record.fields.values() if isinstance(v, float)),
        ]
        if not all(np.isfinite(v).all() for v in values):
            raise PolicyError("not_finite", f"{record.kind} holds NaN or infinity; nothing was sent.")
