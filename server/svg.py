"""Matplotlib figures as inline SVG that takes its colours from the page.

The figures are painted with the hex values of `COLOURS`; in the SVG each becomes a CSS variable of the
same name, so that one picture serves light, dark and print. No element has a style of its own: a page whose
content security policy forbids them shows the same picture. Data colours are Okabe and Ito's, which stay
apart for all common colour-vision deficiencies (https://jfly.uni-koeln.de/color/).
"""

import io
import re
import threading
from collections.abc import Callable
from types import MappingProxyType
from typing import Literal
from xml.etree import ElementTree as ET

import matplotlib as mpl
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure

COLOURS = MappingProxyType(
    {
        "blue": "#0072b2",
        "orange": "#e69f00",
        "green": "#009e73",
        "vermilion": "#d55e00",
        "purple": "#cc79a7",
        "sky": "#56b4e9",
        "yellow": "#f0e442",
        "ink": "#010203",
        "muted": "#606264",
        "rule": "#d0d2d4",
        "paper": "#fcfdfe",
    }
)
SITE_COLOURS = ("vermilion", "purple", "sky", "yellow")
FONT_SIZE_PT = 11
_ONE_AT_A_TIME = threading.Lock()
"""Matplotlib's settings are those of the whole process."""

_STYLE = {
    "axes.edgecolor": COLOURS["rule"],
    "axes.labelcolor": COLOURS["muted"],
    "axes.labelsize": FONT_SIZE_PT,
    "axes.spines.left": False,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlecolor": COLOURS["ink"],
    "axes.titlelocation": "left",
    "axes.titlepad": 12,
    "axes.titlesize": FONT_SIZE_PT + 1,
    "axes.titleweight": "bold",
    "axes.axisbelow": True,
    "font.family": "DejaVu Sans",  # ships with matplotlib, so that the layout is the same everywhere
    "font.size": FONT_SIZE_PT,
    "grid.color": COLOURS["rule"],
    "grid.linewidth": 0.7,
    "lines.solid_capstyle": "round",
    "svg.fonttype": "none",  # real text: selectable, searchable, read aloud
    "text.color": COLOURS["ink"],
    "text.parse_math": False,  # a site may be called $x$
    "xtick.color": COLOURS["rule"],
    "xtick.labelcolor": COLOURS["muted"],
    "xtick.labelsize": FONT_SIZE_PT,
    "ytick.labelcolor": COLOURS["ink"],
    "ytick.labelsize": FONT_SIZE_PT,
    "ytick.left": False,
}


def inline_svg(paint: Callable[[Figure], None], *, width_pt: float, height_pt: float, title: str) -> Markup:
    """Let `paint` draw on a figure of the given size and return it as an ``<svg>`` element.

    The element has the class ``plot``, scales with its container, names no outside resource, and is the same
    text for the same drawing. `title` is read aloud in place of the picture.
    """
    text = io.StringIO()
    with _ONE_AT_A_TIME, mpl.rc_context({**_STYLE, "svg.hashsalt": title}):
        figure = Figure(figsize=(width_pt / 72, height_pt / 72))
        paint(figure)
        figure.savefig(text, format="svg", transparent=True, metadata={"Date": None})
    root = ET.fromstring(text.getvalue())  # noqa: S314 - written by matplotlib a line ago
    _clean(root)
    root.attrib = {
        "viewBox": root.attrib["viewBox"],
        "role": "img",
        "aria-label": title,
        "class": "plot",
    }
    return Markup(ET.tostring(root, encoding="unicode"))  # noqa: S704 - ElementTree escapes text and attributes


def grid(axes: Axes, axis: Literal["both", "x", "y"]) -> None:
    """Draw light lines across `axis` and no tick marks."""
    axes.grid(axis=axis)
    axes.tick_params(length=0)


def _clean(element: ET.Element) -> None:
    """Drop namespaces, metadata and the ids that every figure repeats; turn colours into variables."""
    element.tag = element.tag.rpartition("}")[2]
    attributes = {name.rpartition("}")[2]: value for name, value in element.attrib.items()}
    if "_" in attributes.get("id", ""):  # "axes_1"; ids that something refers to have no underscore
        del attributes["id"]
    attributes |= _presented(_themed(attributes.pop("style", "")))
    element.attrib = attributes
    for child in list(element):
        if child.tag.endswith(("}metadata", "}style")):
            element.remove(child)
        else:
            _clean(child)


def _themed(style: str) -> str:
    """Put CSS variables for the hex values of `COLOURS`, and the page's font for matplotlib's."""
    for name, value in COLOURS.items():
        style = style.replace(value, f"var(--{name})")
    return re.sub(r"'DejaVu Sans'[^;]*", "var(--font)", style)


def _presented(style: str) -> dict[str, str]:
    """Write declarations as presentation attributes (SVG 2, 6.6), which mean the same."""
    pairs = (part.split(":", 1) for part in style.split(";") if ":" in part)
    return {name.strip(): value.strip() for name, value in pairs}
