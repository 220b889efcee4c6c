"""The researcher's page lists what a run writes, no less and no more."""

import re
from fnmatch import fnmatch

from tests.end_to_end.conftest import ROOT, FinishedRun

README = (ROOT / "README.md").read_text(encoding="utf-8")
RESEARCHER = (ROOT / "docs" / "researcher.md").read_text(encoding="utf-8")
NOT_IN_A_TINY_RUN = {
    *("start/", "sites/<name>/seismometer/", "sites/<name>/ledger.jsonl"),
    *("statistics.json", "statistics.html"),
    *(
        f"sites/<name>/{name}"
        for name in ("predictions/", "predictions.key", "predictions.names.csv", "worklist.db")
    ),
}


def covers(listed: str, file: str) -> bool:
    """Whether `file` is `listed`, or lies in it where it is a folder."""
    pattern = listed.replace("<name>", "*")
    return fnmatch(file, pattern + "*" if pattern.endswith("/") else pattern)


def test_every_file_of_a_run_is_documented_and_every_documented_one_is_written(finished: FinishedRun) -> None:
    table = RESEARCHER.split("| path in `--out` |")[1].split("\n\n")[0]
    listed = set(re.findall(r"^\| `(.*?)` \|", table, flags=re.MULTILINE))
    files = {path.relative_to(finished.out).as_posix() for path in finished.out.rglob("*") if path.is_file()}
    matched = {path: {file for file in files if covers(path, file)} for path in listed}
    assert {path for path in listed if not matched[path]} == NOT_IN_A_TINY_RUN
    assert files - set().union(*matched.values()) == set()


def test_the_readme_names_some_of_them() -> None:
    section = README.split("## What a run writes")[1].split("\n## ")[0]
    named = re.findall(r"^- `(.*?)`", section, flags=re.MULTILINE)
    assert named
    assert all(f"| `{path}` |" in RESEARCHER for path in named)
