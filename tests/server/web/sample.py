"""A coordinator's folder with sites, invites and runs in every state, for tests and for looking at by hand.

By hand: `python -m tests.server.web.sample FOLDER`, then `wardround coordinator serve --dir FOLDER`.
"""

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

from server.board import Board
from server.checkpoint import Checkpoint
from server.commands import initialise
from server.job import STATISTICS
from server.report import write_report
from server.results import Results
from server.rounds import Outcome
from server.settings import Coordinator
from server.store import Store
from shared.control import control_pb2 as pb
from shared.invite import new_code
from shared.study import Study
from tests.server.sample_results import SITES, rich_results

ACCOUNT, WATCHER, PASSWORD = "noor", "edda", "correct horse battery staple"
SECRET = "x" * 27
ROUNDS = 8
STUDY = Study.parse({**rich_results().study, "training": {"rounds": ROUNDS}, "seed": 3}, "the sample")


def make(folder: Path) -> Path:
    """Write the folder: four members, one revoked, a run that trains, two that finished, one that failed."""
    settings = initialise(folder, address="127.0.0.1", name="north-trial")
    store = Store.open(settings.database_url)
    for number, site in enumerate([*SITES, "hospital-e"]):
        code = new_code()
        store.invite(site, code=code, expires=datetime.now(UTC) + timedelta(days=7))
        store.redeem(code, site=site, public_key=bytes([number]) * 32, version="0.1.0")
    store.greet("hospital-a", version="0.1.0", problem="", lines=3, seal="s")
    store.greet("hospital-b", version="0.1.0", problem="clock", lines=3, seal="s")
    store.revoke("hospital-e")
    store.invite("hospital-f", code=SECRET, expires=datetime.now(UTC) + timedelta(days=7))
    results = rich_results().model_copy(update={"study": STUDY.model_dump(mode="json")})
    finished(settings, store, results)
    finished(settings, store, other_results(results))
    _failed(settings, store)
    training(settings, store, results)
    store.close()
    return folder


def finished(settings: Coordinator, store: Store, results: Results) -> str:
    """Write a run that is over, with what it left."""
    study = Study.parse(results.study, "the sample")
    run = _asked(store, study)
    store.set_run(run, state="running")
    folder = settings.run_folder(run)
    results.write(folder / "results.json")
    write_report(results, folder / "report.html")
    (folder / "model").mkdir()
    (folder / "model" / "model.safetensors").write_bytes(b"weights" * 100_000)
    (folder / "model" / "study.yaml").write_text(study.to_yaml(), encoding="utf-8")
    store.set_run(run, state="finished")
    return run


def other_results(results: Results) -> Results:
    """Results of the same patients under another study: a lower learning rate, three rounds, a lower Dice."""
    judged = results.evaluation.federated
    assert judged is not None
    pooled = judged.pooled.model_copy(update={"dice": (judged.pooled.dice or 0) - 0.031})
    evaluation = results.evaluation.model_copy(
        update={"federated": judged.model_copy(update={"pooled": pooled})}
    )
    study = Study.parse(
        {**results.study, "training": {"rounds": 3, "learning_rate": 1e-3}}, "the other sample"
    )
    return results.model_copy(
        update={
            "study": study.model_dump(mode="json"),
            "evaluation": evaluation,
            "rounds": results.rounds[:3],
            "calibration": None,
        }
    )


def training(settings: Coordinator, store: Store, results: Results, *, over: int = 3) -> str:
    """Write a run of which `over` rounds are over and the next is under way, as the run itself would."""
    run = _asked(store, STUDY)
    store.set_run(run, state="running", flower_run=5)
    folder = settings.run_folder(run)
    checkpoint(folder, results, over)
    board = Board(folder / "status.json")
    board.begin(rounds=ROUNDS, done=over)
    board.enter("training", over + 1)
    board.ask(SITES)
    used = Outcome("used", None, 180, 31.5)
    board.answer("hospital-a", [used], bytes_up=19_248_000, bytes_down=19_241_600)
    late = Outcome("late", "offline", 0, 60.0)
    board.answer("hospital-b", [late], bytes_up=14_436_000, bytes_down=19_241_600)
    board.answer("hospital-c", [Outcome("refused", "not_finite", 0, 7.1)], bytes_up=1000, bytes_down=2000)
    return run


def checkpoint(folder: Path, results: Results, over: int) -> None:
    """Write the checkpoint after a round; what its model scored is not known yet."""
    rounds = [each.model_dump(mode="json") for each in results.rounds[:over]]
    rounds[-1]["validation"] = None
    history = {"study_digest": STUDY.digest(), "rounds": rounds, "events": [], "run": "r", "seconds": 1.0}
    Checkpoint(over, {"w": np.zeros(3, np.float32)}, {}, history).save(folder / "checkpoints")


def as_seen(status: pb.Status, online: tuple[str, ...]) -> pb.Status:
    """Put these sites online, as a coordinator that is up would say it."""
    for site in status.sites:
        site.online = site.name in online
    return status


def _failed(settings: Coordinator, store: Store) -> None:
    run = _asked(store, STUDY)
    store.set_run(run, state="running")
    folder = settings.run_folder(run)
    folder.mkdir(parents=True)
    (folder / STATISTICS).touch()
    store.set_run(run, state="failed", reason="federation.quorum")


def _asked(store: Store, study: Study) -> str:
    return store.start(study_name=study.name, study_digest=study.digest(), study_yaml=study.to_yaml())


if __name__ == "__main__":
    sys.stdout.write(f"{make(Path(sys.argv[1]))}\n")
