"""seismometer's figures for one site as one self-contained HTML file, made without a notebook or a browser.

The report is patient-derived (every step of the ROC curve is a patient) and stays at the site.

    python -m client.validation.seismometer_report WORKERS FOLDER OUTPUT [FOLDER OUTPUT ...]

imports seismometer once, which takes longer than a report, then forks a process for each. A program calls
`render_many`, which does this: seismometer keeps its data in singletons and matplotlib is not thread-safe, so
reports are drawn in processes of their own, forked from one that has no threads, and never in the caller's.
"""

import contextlib
import html
import importlib
import json
import os
import re
import subprocess
import sys
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from client.validation.seismometer_config import write_inputs
from client.validation.seismometer_figures import sections
from shared.errors import ConfigError, DataError

__all__ = ["render", "render_many", "write_inputs"]

_LONGEST_TEXT = 320  # characters; a line this short is written to a pipe in one piece, even as \\u escapes
_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title} · stays at the hospital: patient-derived · research use, not a medical device</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; color: #1c2733; background: #fff;
        max-width: 1120px; margin: 2rem auto; padding: 0 1rem; }}
h1 {{ margin-bottom: .4rem; }}
h2 {{ margin: 2.5rem 0 .3rem; }}
.notice {{ background: #fff3d6; border-left: 4px solid #c98a00; padding: .6rem 1rem; }}
.missing {{ background: #eef1f5; border-left: 4px solid #7b8794; padding: .6rem 1rem; }}
figure {{ margin: 1rem 0; overflow-x: auto; }}
svg {{ max-width: 100%; height: auto; }}
th, td {{ padding: .15rem .7rem; }}
.gt_table th, .gt_table td {{ padding: .3rem .4rem !important; font-size: .8rem !important; }}
footer {{ margin: 3rem 0 1rem; color: #52606d; font-size: .85rem; }}
</style>
</head>
<body>
<h1>{title}</h1>
<p class="notice">Stays at the hospital: patient-derived. Research use, not a medical device.</p>
{sections}
<footer>Figures and tables by seismometer {version}. Nothing in this file is loaded from elsewhere.</footer>
</body>
</html>
"""


def render(folder: Path, output: Path) -> None:
    """Render what `write_inputs` wrote into `folder` as the one file `output`; not thread-safe.

    Raises DataError when seismometer's merge of scans and outcomes loses a scan or an outcome.
    """
    if not (folder / "config.yml").is_file():
        raise DataError(f"{folder} holds no config.yml. Give a folder that write_inputs has filled.")
    with _seismogram(folder) as board:
        _check_merge(folder, board)
        page = _PAGE.format(
            title=html.escape(f"Validation of {board.modelname}"),
            sections="\n".join(sections(board)),
            version=sys.modules["seismometer"].__version__,
        )
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(_same_every_time(page), encoding="utf-8")


def render_many(pairs: Sequence[tuple[Path, Path]], *, workers: int) -> list[str | None]:
    """Render (folder, output) pairs in up to `workers` processes; per pair: None or the error's text.

    A site that fails, even by the death of its process, ends no other. The texts stay at the site: they
    may name its files.
    """
    if workers < 1:
        raise ConfigError(f"workers is {workers}, expected at least 1.")
    if not pairs:
        return []
    python_path = [str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")]
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(filter(None, python_path)),
        "MPLBACKEND": "Agg",
        "OMP_NUM_THREADS": "1",  # the workers share the cores already
    }
    command = [sys.executable, "-m", __name__, str(workers), *(str(path) for pair in pairs for path in pair)]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)  # noqa: S603
    answers: dict[int, str | None] = dict(map(json.loads, ended.stdout.splitlines()))
    said = (ended.stderr.strip().splitlines() or ["nothing"])[-1]
    lost = f"drawing ended with code {ended.returncode} before this report; it last said: {said}"
    return [answers.get(index, lost) for index in range(len(pairs))]


@contextlib.contextmanager
def _seismogram(folder: Path) -> Iterator[Any]:
    """Yield the loaded Seismogram, quiet and drawing text as text; forget its patients at the end."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import matplotlib as mpl  # noqa: PLC0415  # seconds, and only the process that draws needs them
        import seismometer as sm  # noqa: PLC0415
        from seismometer.configuration import ConfigProvider  # noqa: PLC0415

        # Left to itself, seismometer looks for data_dir in the working directory.
        config = ConfigProvider(folder, data_dir=folder / "data", info_dir=folder / "outputs")
        with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "wardround"}):
            try:
                sm.run_startup(config_provider=config, reset=True, log_level=40)
                yield sm.Seismogram()
            finally:
                sm.Seismogram.kill()


def _check_merge(folder: Path, board: Any) -> None:
    events = pd.read_parquet(folder / "data" / "events.parquet")
    merged = board.dataframe
    found = len(merged), int((merged[board.target] == 1).sum()) if board.target in merged else 0
    expected = len(events), int((events["value"] == 1).sum())
    if found != expected:
        raise DataError(
            f"{folder}: seismometer sees {found[0]} scans, {found[1]} of them urgent; expected {expected[0]} "
            f"and {expected[1]}. An outcome outside the window counts as not urgent. Write the inputs again."
        )


def _same_every_time(page: str) -> str:
    """Drop the drawing date and number the random ids of tables, so that equal inputs give equal bytes."""
    page = re.sub(r"<metadata>.*?</metadata>", "", page, flags=re.DOTALL)
    for pattern, prefix in ((r'id="(T_[0-9a-f]{5})"', "T_"), (r'<div id="([a-z]{10})"', "table_")):
        for number, name in enumerate(dict.fromkeys(re.findall(pattern, page))):
            page = page.replace(name, f"{prefix}{number}")
    return page


def _attempt(folder: Path, output: Path) -> str | None:
    """Render one report; None or the error's text."""
    try:
        with contextlib.redirect_stdout(sys.stderr):
            render(folder, output)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return None


def _attempt_all(pairs: Sequence[tuple[Path, Path]], workers: int) -> int:
    """Fork a process per report, `workers` at a time; each prints one line of JSON, [index, text or null]."""
    waiting, running, failed = list(enumerate(pairs)), dict[int, int](), False
    while waiting or running:
        while waiting and len(running) < workers:
            index, pair = waiting.pop(0)
            if (process := os.fork()) == 0:
                text = _attempt(*pair)
                os.write(1, (json.dumps([index, text and text[:_LONGEST_TEXT]]) + "\n").encode())
                os._exit(DataError.exit_code if text else 0)
            running[process] = index
        process, status = os.wait()
        failed |= status != 0
        if os.WIFSIGNALED(status):
            text = f"the process drawing it was ended by signal {os.WTERMSIG(status)}: is memory short?"
            os.write(1, (json.dumps([running[process], text]) + "\n").encode())
        del running[process]
    return DataError.exit_code if failed else 0


def _main(arguments: Sequence[str]) -> int:
    workers, *paths = arguments or [""]
    if not workers.isdigit() or int(workers) < 1 or not paths or len(paths) % 2:
        sys.stderr.write(f"usage: python -m {__spec__.name} WORKERS FOLDER OUTPUT [FOLDER OUTPUT ...]\n")
        return ConfigError.exit_code
    # Nothing here checks IRIs, and building this grammar is a third of the time seismometer takes to import.
    sys.modules["rfc3987_syntax"] = None  # type: ignore[assignment]
    warnings.simplefilter("ignore")
    importlib.import_module("seismometer")  # once, before the forks that share it
    return _attempt_all(list(zip(map(Path, paths[::2]), map(Path, paths[1::2]), strict=True)), int(workers))


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1:]))
