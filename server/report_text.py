"""Numbers in words for the report: with their unit, what is behind them, and why where there is none."""

from server.priority_figures import Detection, SiteCalibration
from server.results import SiteEntry
from shared.metrics import Z_95


def fraction(value: float | None, why: str = "no scans", digits: int = 2) -> str:
    """``0.86``, or why there is no number."""
    return f"not defined ({why})" if value is None else f"{value:.{digits}f}"


def rate(value: float | None, interval: tuple[float, float] | None, n: int, why: str) -> str:
    """``0.91 (0.82 to 0.96), n = 52``: a proportion, its 95 % interval and what it is a proportion of."""
    if value is None or interval is None:
        return fraction(None, why)
    return f"{value:.2f} ({interval[0]:.2f} to {interval[1]:.2f}), n = {n}"


def estimate(value: float | None, error: float | None, why: str) -> str:
    """``+0.12 ± 0.31``: an estimate with the half width of its 95 % interval."""
    if value is None or error is None:
        return fraction(None, why)
    return f"{value:+.2f} ± {Z_95 * error:.2f}"


def detected(found: Detection, site: SiteCalibration) -> str:
    """``from 0.31: sensitivity 0.93 (0.69 to 0.99), specificity 0.62 (0.45 to 0.77)``."""
    start = f"from {found.threshold:.2f}"
    if found.sensitivity is None or site.after is None:
        return f"{start}: counts not released"
    urgent = round(site.after.n * (site.after.prevalence or 0))
    sensitivity = rate(found.sensitivity, found.sensitivity_interval, urgent, "no urgent patients")
    others = site.after.n - urgent
    specificity = rate(found.specificity, found.specificity_interval, others, "no others")
    return f"{start}: sensitivity {sensitivity}; specificity {specificity}"


def bound(value: float) -> str:
    """``± 0.0012``: how far off a binned AUROC can be."""
    return f"± {value:.2g}" if value else "exact"


def duration(seconds: float) -> str:
    """``12.3 s``, ``4 min 47 s`` or ``2 h 05 min``."""
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def size(count: int) -> str:
    """``4.8 MB``, ``12 kB`` or ``0 kB``, in powers of 1000."""
    return f"{count / 1e6:.1f} MB" if count >= 999_500 else f"{count / 1e3:.0f} kB"


def skipped(entry: SiteEntry) -> list[str]:
    """One line a reason: how many cases, and which where they are named."""
    lines = []
    for reason in dict.fromkeys(s.reason for s in entry.skipped):
        cases = [s for s in entry.skipped if s.reason == reason]
        names = ", ".join(s.case for s in cases if s.case is not None)
        lines.append(
            f"{sum(s.count for s in cases)} {reason.replace('_', ' ')}" + (f" ({names})" if names else "")
        )
    return lines


def privacy(entry: SiteEntry) -> str:
    """``ε 7.20 of 8, δ 0.0001``: what differential privacy spent of what was promised, or none."""
    if entry.epsilon is None or entry.delta is None:
        return "none"
    spent = "" if entry.epsilon_spent is None else f"{entry.epsilon_spent:.2f} of "
    return f"ε {spent}{entry.epsilon:g}, δ {entry.delta:g}"
