"""HTML pages that load nothing: one template, its style and its pictures in one file.

Everything that a template is given is escaped, a name that it is not given is an error, and each template
forbids scripts and every address by a content security policy of its own.
"""

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

Filters = dict[str, Callable[..., Any]]
"""What a template may call, by the name that it uses."""


def render(template: Path, filters: Filters, **values: object) -> str:
    """Fill in a template, which may include others by their path from its own folder."""
    environment = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        loader=FileSystemLoader(template.parent),
    )
    environment.filters |= filters
    return environment.get_template(template.name).render(**values)


def png_source(png: bytes) -> str:
    """Return a PNG as the data URI of a page."""
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"
