"""Changes keys of a site.yaml that people wrote: its comments and everything else stay as they are."""

import shutil
from collections.abc import Mapping
from pathlib import Path

import yaml

from client.site import Site
from shared.config import parse_yaml
from shared.errors import ConfigError
from shared.files import write_atomically

BEFORE = ".before"


def with_keys(text: str, values: Mapping[str, str | None], source: str) -> str:
    """Return YAML text with these top-level keys set; one that is not there is added at the end.

    Raises
    ------
    ConfigError
        The text is no mapping of keys, or cannot be changed without changing something else.
    """
    before = parse_yaml(text, source)
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    if not isinstance(root, yaml.MappingNode) or not isinstance(before, dict):
        raise ConfigError(f"{source} holds no keys. Write one with `wardround site init`.")
    places = {key.value: value for key, value in root.value}
    changed = text
    found = [(places[name], value) for name, value in values.items() if name in places]
    for node, value in sorted(found, key=lambda one: -one[0].start_mark.index):  # from the end: places hold
        start, end = node.start_mark.index, node.end_mark.index
        separator = "" if start < end or text[start - 1 : start].isspace() else " "  # `layout:` alone is null
        ended = "\n" if text[start:end].endswith("\n") else ""  # a block takes its last line's end with it
        changed = f"{changed[:start]}{separator}{_scalar(value)}{ended}{changed[end:]}"
    missing = [f"{name}: {_scalar(value)}\n" for name, value in values.items() if name not in places]
    if missing:
        changed = f"{changed.rstrip()}\n{''.join(missing)}"
    if parse_yaml(changed, source) != {**before, **values}:
        raise ConfigError(f"{source} is written in a way that cannot be changed here. Edit it by hand.")
    return changed


def change_site(site_file: Path, values: Mapping[str, str | None]) -> None:
    """Set keys of a site.yaml, whole or not at all; the one before is kept beside it as site.yaml.before.

    Raises
    ------
    ConfigError
        As `with_keys`; the values make no site; or the file cannot be written.
    """
    site_file = site_file.resolve()  # a link stays one
    try:
        text = site_file.read_text(encoding="utf-8")
        changed = with_keys(text, values, str(site_file))
        Site.parse(parse_yaml(changed, str(site_file)), str(site_file))
        before = site_file.with_name(site_file.name + BEFORE)
        with write_atomically(before) as path:
            shutil.copyfile(site_file, path)
            shutil.copymode(site_file, path)
        with write_atomically(site_file) as path:
            path.touch(mode=0o600)
            path.write_text(changed, encoding="utf-8")
            shutil.copymode(site_file, path)
    except OSError as error:
        raise ConfigError(
            f"{site_file} cannot be written: {error.strerror}. Ask whoever keeps it to set "
            + "; ".join(f"{name}: {_scalar(value)}" for name, value in values.items())
        ) from error


def _scalar(value: str | None) -> str:
    return yaml.safe_dump(value, width=10**6, allow_unicode=True).removesuffix("\n").removesuffix("\n...")
