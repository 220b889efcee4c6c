"""The page that says what would leave a hospital: what stands on it, as values and as text to be signed."""

import textwrap
from dataclasses import asdict, dataclass
from typing import Any

from client.explain_words import COMES_IN, CONTROL_SAYS, NEVER, PLANNED

WIDTH = 100


@dataclass(frozen=True)
class Leaving:
    """One kind of record: how large each is (at most, in bytes), how many leave, and what guards it.

    `times` is None where no number can be given beforehand; `refused` says why none leaves, if so.
    """

    kind: str
    what: str
    holds: str
    bytes_each: int
    times: int | None
    how_often: str
    protection: str
    refused: str | None = None

    @property
    def bytes_in_all(self) -> int:
        """Bytes in one run, at most; nothing where the record is refused."""
        return 0 if self.refused else self.bytes_each * (self.times or 0)


@dataclass(frozen=True)
class Explanation:
    """All that leaves one site under one study; `refusals` is what this policy refuses, in sentences."""

    site: str
    study: str
    digest: str
    version: str
    private: str
    leaving: tuple[Leaving, ...]
    refusals: tuple[str, ...]

    @property
    def bytes_in_all(self) -> int:
        """Payload of one uninterrupted run, at most."""
        return sum(one.bytes_in_all for one in self.leaving)

    def as_json(self) -> dict[str, Any]:
        """Values for programs."""
        return {
            **asdict(self),
            "bytes_in_all": self.bytes_in_all,
            "planned": PLANNED,
            "never": list(NEVER),
            "control": CONTROL_SAYS,
            "comes_in": COMES_IN,
        }

    def text(self) -> str:
        """Plain text, at most 100 columns; equal for equal inputs."""
        title = f"What leaves {self.site} under the study {self.study}"
        blocks = [
            f"{title}\n{'=' * len(title)}",
            (
                f"Study digest  {self.digest}\n"
                f"Software      Wardround {self.version}, research use, not a medical device"
            ),
            _wrapped(
                "The study is named by its digest: if one word of it changes, this page no longer holds. A "
                "record leaves only through the node's gate, which writes it to the audit log first. The "
                "connection is encrypted (TLS). Sizes are payload, without the protocol's own bytes."
            ),
            _headed(
                "What this site's policy refuses", self.refusals or ("nothing that this study asks for",)
            ),
            "What leaves\n-----------",
            *(_of_one(number, one) for number, one in enumerate(self.leaving, start=1)),
            _wrapped(f"In all at most {_size(self.bytes_in_all)} in one run. {PLANNED}"),
            _titled("Differential privacy", self.private),
            _headed("What never leaves", NEVER),
            _titled("What the node says of itself", CONTROL_SAYS),
            _titled("What comes in", COMES_IN),
        ]
        return "\n\n".join(blocks) + "\n"


def _of_one(number: int, one: Leaving) -> str:
    rows = [("holds", one.holds)]
    if one.refused is None:
        rows += [
            ("size", f"at most {_size(one.bytes_each)}"),
            ("how often", one.how_often),
            ("guarded by", one.protection),
        ]
    else:
        rows.append(("leaves", f"never: {one.refused}"))
    return "\n".join([f"{number}. {one.kind}: {one.what}", *(_row(key, value) for key, value in rows)])


def _row(key: str, value: str) -> str:
    return textwrap.fill(
        value, WIDTH, initial_indent=f"   {key:<11}", subsequent_indent=" " * 14, break_on_hyphens=False
    )


def _headed(title: str, points: tuple[str, ...]) -> str:
    lines = [
        textwrap.fill(p, WIDTH, initial_indent="- ", subsequent_indent="  ", break_on_hyphens=False)
        for p in points
    ]
    return "\n".join([title, "-" * len(title), *lines])


def _titled(title: str, text: str) -> str:
    return f"{title}\n{'-' * len(title)}\n{_wrapped(text)}"


def _wrapped(text: str) -> str:
    return textwrap.fill(text, WIDTH, break_on_hyphens=False)


def _size(count: int) -> str:
    return f"{count:,} bytes"
