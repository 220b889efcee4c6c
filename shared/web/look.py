"""How pages are made: templates of the product beside the shared ones, and what they may call.

Templates run no inline script and no inline style (the content security policy forbids both): bars and other
figures are SVG, behaviour is in static/*.js and in htmx attributes.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from jinja2 import ChoiceLoader, Environment, FileSystemLoader, StrictUndefined

from shared import __version__
from shared.words import TIER_WORDS, log_odds, percent, place, plain

HERE = Path(__file__).parent
NOTICE = "Research use, not a medical device."


@dataclass(frozen=True)
class MenuItem:
    """One page of the menu, shown to those with one of `roles`; `group` puts a heading above."""

    path: str
    text: str
    roles: tuple[str, ...]


@dataclass(frozen=True)
class Product:
    """What the pages are about: a hospital's site or a coordinator."""

    kind: str  # "hospital" or "coordinator"
    name: str  # of the site or the coordinator
    home: Mapping[str, str]  # role -> the page that it begins with
    roles: Mapping[str, str]  # role -> what it may do, in words
    menu: tuple[MenuItem, ...]
    templates: Path
    static: Path | None = None  # served under /static/<kind>/
    filters: Mapping[str, Callable[..., Any]] = field(default_factory=dict)  # besides FILTERS


class Look:
    """Fills in templates."""

    def __init__(self, product: Product) -> None:
        self.product = product
        self._environment = Environment(
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            loader=ChoiceLoader([FileSystemLoader(product.templates), FileSystemLoader(HERE / "templates")]),
        )
        self._environment.filters |= {**FILTERS, **product.filters}
        self._environment.globals |= {
            "product": product,
            "notice": NOTICE,
            "version": __version__,
            "tier_words": TIER_WORDS,
        }

    def render(self, template: str, **values: Any) -> str:
        """Fill in one template."""
        return self._environment.get_template(template).render(**values)


def local(time: datetime | None) -> str:
    """Return a time as the clock on this machine's wall shows it."""
    return "" if time is None else f"{time.astimezone():%Y-%m-%d %H:%M}"


def since(time: datetime) -> str:
    """Return how long ago something was, such as 2 h 05 min."""
    return lasting(datetime.now(UTC) - time)


def lasting(duration: timedelta | float) -> str:
    """Return a time span (a timedelta or seconds) in its two largest units."""
    seconds = int(duration.total_seconds() if isinstance(duration, timedelta) else duration)
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86400
    if days:
        return f"{days} d {hours % 24} h"
    if hours:
        return f"{hours} h {minutes % 60:02d} min"
    return f"{minutes} min" if minutes else f"{max(seconds, 0)} s"


def size(count: float) -> str:
    """Return a number of bytes in the unit that suits it (1 kB = 1000)."""
    if count < 1000:
        return f"{count:.0f} bytes"
    for unit in ("kB", "MB"):
        count /= 1000
        if count < 1000:
            return f"{count:.1f} {unit}"
    return f"{count / 1000:.1f} GB"


FILTERS: dict[str, Callable[..., Any]] = {
    "local": local,
    "since": since,
    "lasting": lasting,
    "log_odds": log_odds,
    "percent": percent,
    "place": place,
    "size": size,
    "plain": plain,
}
