"""One measured comparison: samples of each alternative, and what Wardround's are worth beside the others'."""

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any, Literal

from rich.table import Table


@dataclass(frozen=True)
class Comparison:
    """Samples in `unit` of each alternative; the first alternative is Wardround.

    `note` says what exactly was compared. Raises ValueError for fewer than two alternatives or one without a
    sample.
    """

    measure: str
    unit: str
    better: Literal["lower", "higher"]
    samples: Mapping[str, tuple[float, ...]]
    note: str

    def __post_init__(self) -> None:
        if len(self.samples) < 2 or not all(self.samples.values()):
            found = {name: len(values) for name, values in self.samples.items()}
            raise ValueError(
                f"{self.measure}: samples per alternative are {found}, expected two alternatives with at "
                "least one sample each. Repeat the measurement."
            )

    @property
    def ratios(self) -> dict[str, float]:
        """Other alternative -> how many times better Wardround's median is; below 1 it is worse."""
        ours, *others = self.samples
        own = median(self.samples[ours])
        found = {name: median(self.samples[name]) / own for name in others}
        return found if self.better == "lower" else {name: 1 / ratio for name, ratio in found.items()}

    def best(self, name: str) -> float:
        """Return the lowest cost or the highest rate of one alternative."""
        return min(self.samples[name]) if self.better == "lower" else max(self.samples[name])

    def as_json(self) -> dict[str, Any]:
        """All samples and what is derived from them, as JSON values."""
        return {
            "measure": self.measure,
            "unit": self.unit,
            "better": self.better,
            "note": self.note,
            "alternatives": {
                name: {"best": self.best(name), "median": median(values), "samples": list(values)}
                for name, values in self.samples.items()
            },
            "ratio_of_medians": self.ratios,
        }


def table(title: str, comparisons: tuple[Comparison, ...]) -> Table:
    """Lay out each comparison as a line of its own with one row an alternative below it."""
    made = Table(title=title, title_justify="left")
    made.add_column("what was measured, and of what", overflow="fold")
    for heading in ("best", "median", "samples", "Wardround is\ntimes better"):
        made.add_column(heading, justify="right")
    for comparison in comparisons:
        made.add_row(f"[bold]{comparison.measure}[/bold] ({comparison.unit})")
        for index, (name, values) in enumerate(comparison.samples.items()):
            made.add_row(
                f"  {name}",
                _shown(comparison.best(name)),
                _shown(median(values)),
                str(len(values)),
                f"{comparison.ratios[name]:.4g}" if index else "",
                end_section=index == len(comparison.samples) - 1,
            )
    return made


def _shown(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.4g}"
