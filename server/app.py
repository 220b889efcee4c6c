"""The ServerApp: run configuration in, run built, run started."""

from pathlib import Path

from flwr.app import Context
from flwr.serverapp import Grid, ServerApp
from safetensors.numpy import load_file

from server.run import Run, RunSettings
from shared.study import Study

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Run the study named in the run configuration.

    Keys: `study` and `out` are paths, `sites` the number of nodes to wait for, `engine` a name for
    results.json, `resume` whether to go on from the newest checkpoint, `start` a safetensors file or "".
    """
    config = context.run_config
    start = str(config.get("start", ""))
    settings = RunSettings(
        study=Study.load(Path(str(config["study"]))),
        out=Path(str(config["out"])),
        engine=str(config.get("engine", "deploy")),
        expected_sites=int(config["sites"]),
        resume=bool(config.get("resume", False)),
        start=load_file(start) if start else None,
    )
    Run(grid, settings).execute()
