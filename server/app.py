"""The ServerApp: run configuration in, run built, run started."""

import json
from pathlib import Path

from flwr.app import Context
from flwr.serverapp import Grid, ServerApp
from safetensors.numpy import load_file

from server.run import DEPLOYED, Run, RunSettings
from server.statistics import StatisticsRun
from shared.study import Study

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Run the study named in the run configuration.

    Keys: `study` and `out` are paths, `sites` the number of nodes to wait for, `engine` a name for
    results.json, `resume` whether to go on from the newest checkpoint, `start` a safetensors file or "".
    With `statistics` the sites are asked for theirs and nothing is trained.
    A deployment adds `name`, which people know the run by, `names`, a JSON object that gives the site of each
    node id, `enrol_wait_s`, and `grace_s`.
    """
    config = context.run_config
    start, names = str(config.get("start", "")), str(config.get("names", ""))
    named = {"name": str(config["name"])} if "name" in config else {}
    settings = RunSettings(
        **named,
        study=Study.load(Path(str(config["study"]))),
        out=Path(str(config["out"])),
        engine=str(config.get("engine", DEPLOYED)),
        expected_sites=int(config["sites"]),
        resume=bool(config.get("resume", False)),
        start=load_file(start) if start else None,
        names={int(node): str(site) for node, site in json.loads(names).items()} if names else None,
        enrol_wait_s=float(config["enrol_wait_s"]) if "enrol_wait_s" in config else None,
        grace_s=float(config.get("grace_s", 0.0)),
    )
    if config.get("statistics", False):
        StatisticsRun(grid, settings).execute()
    else:
        Run(grid, settings).execute()
