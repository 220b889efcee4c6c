"""One line of `wardround site check`."""

from dataclasses import dataclass
from typing import Literal

State = Literal["ok", "warning", "problem", "not yet"]


@dataclass(frozen=True)
class Line:
    """What one check found, and what to do about it; `exit_code` is that of the error it stands for."""

    name: str
    state: State
    finding: str
    cure: str = ""
    exit_code: int = 0
