"""A whole run over sites in memory: what is asked in which exchange, and what one lost answer costs."""

import json
from pathlib import Path
from typing import Any

import pytest
from flwr.app import Context, RecordDict

from server.app import app
from server.checkpoint import load_newest
from server.report import write_report
from server.results import Results
from shared.errors import QuorumError
from shared.wire import Record
from tests.server.fake_sites import (
    STUDY,
    Act,
    FakeGrid,
    FakeSite,
    failing,
    hospitals,
    run,
    segmentation,
    update,
)


class Counting(FakeGrid):
    """Counts the messages that the first site gets."""

    def push_messages(self, messages: Any) -> Any:
        kept = list(messages)
        self.kinds = getattr(self, "kinds", [])
        for message in kept:
            if message.metadata.dst_node_id == 1:
                records = message.content.config_records
                self.kinds.append([str(records[str(place)]["kind"]) for place in range(len(records))])
        return super().push_messages(kept)


def configured(out: Path, **more: Any) -> Context:
    study = out / "study.yaml"
    out.mkdir(parents=True, exist_ok=True)
    study.write_text(STUDY.to_yaml(), encoding="utf-8")
    config = {"study": str(study), "out": str(out), "sites": 2, **more}
    return Context(1, 0, {}, RecordDict(), config)


FINAL = ["evaluate", "evaluate", "voxels", "voxels"]


def test_two_rounds_are_two_exchanges_and_one_more(tmp_path: Path) -> None:
    grid = Counting(hospitals("north", "east"))
    app(grid, configured(tmp_path))
    assert grid.kinds[:4] == [["enrol"], ["train"], ["evaluate", "train"], FINAL]
    calibration = [tuple(dict.fromkeys(kinds)) for kinds in grid.kinds[4:]]
    assert list(dict.fromkeys(calibration)) == [
        ("newton",),
        ("newton_map",),
        ("histograms",),
        ("held_out",),
        ("reliability", "histograms"),
        ("finish",),
    ]
    assert len(calibration) < 50


def test_the_sites_are_asked_to_judge_each_rounds_model_and_train_that_very_model(tmp_path: Path) -> None:
    sites = hospitals("north", "east")
    run(sites, tmp_path)
    asked = [r for r in sites[0].asked if r.kind in ("train", "evaluate")]
    order = [(r.kind, r.fields["round"], r.fields.get("split")) for r in asked]
    assert order == [
        ("train", 1, None),
        ("evaluate", 1, "validation"),
        ("train", 2, None),
        ("evaluate", 2, "validation"),
        ("evaluate", 2, "test"),
    ]
    for first, second in ((1, 2), (3, 4)):
        assert all((asked[first].arrays[n] == asked[second].arrays[n]).all() for n in asked[first].arrays)


LOST: dict[str, tuple[str, str]] = {
    "training": ("train", "training"),
    "validation": ("evaluate", "validation"),
}


@pytest.mark.parametrize("lost", LOST)
def test_the_answer_to_one_question_counts_when_the_other_is_lost(lost: str, tmp_path: Path) -> None:
    kind, phase = LOST[lost]
    results = run(hospitals("north", "east", "south", south={kind: failing("policy.hours")}), tmp_path)
    for entry in results.rounds:
        assert entry.validation is not None
        assert ("south" in entry.validation.sites) == (lost == "training")
        assert entry.sites["south"].status == ("refused" if lost == "training" else "used")
    noted = {(e.phase, e.round) for e in results.events if e.site == "south" and e.phase != "evaluation"}
    assert noted == {(phase, 1), (phase, 2)}


def test_answers_in_another_order_are_refused_with_what_came_instead(tmp_path: Path) -> None:
    def swapped(site: FakeSite, record: Record) -> Any:
        if record.fields["round"] == 1:
            return update(site, record)
        return [update(site, record), segmentation(site, record)]

    results = run(hospitals("north", "east", "south", south={"train": swapped}), tmp_path)
    noted = [(e.phase, e.round, e.status, e.reason) for e in results.events if e.site == "south"]
    assert noted == [
        ("validation", 1, "refused", "kind.update"),
        ("training", 2, "refused", "kind.segmentation"),
    ]


def test_a_validation_that_nobody_answered_is_missing_and_the_run_goes_on(tmp_path: Path) -> None:
    broken: dict[str, Act] = {"evaluate": failing("internal")}
    results = run(hospitals("north", "east", north=broken, east=broken), tmp_path)
    assert [entry.validation for entry in results.rounds] == [None, None]
    assert results.evaluation.federated is None


def test_a_checkpoint_holds_the_validation_of_the_round_before_and_resume_loses_none(tmp_path: Path) -> None:
    def breaks_down(site: FakeSite, record: Record) -> Record | None:
        return update(site, record) if record.fields["round"] == 1 else None

    with pytest.raises(QuorumError):
        run(hospitals("north", "east", east={"train": breaks_down}), tmp_path)
    kept = load_newest(tmp_path / "checkpoints", study_digest=STUDY.digest())
    assert kept is not None
    assert [entry["validation"] for entry in kept.history["rounds"]] == [None]
    resumed = run(hospitals("north", "east"), tmp_path, resume=True)
    whole = run(hospitals("north", "east"), tmp_path / "whole")
    assert [entry.validation for entry in resumed.rounds] == [entry.validation for entry in whole.rounds]
    after = load_newest(tmp_path / "checkpoints", study_digest=STUDY.digest())
    assert after is not None
    assert [entry["validation"] is None for entry in after.history["rounds"]] == [False, True]


def test_a_deployed_run_writes_its_own_report_and_a_simulation_leaves_that_to_its_caller(
    tmp_path: Path,
) -> None:
    app(FakeGrid(hospitals("north", "east")), configured(tmp_path / "deployed", engine="deploy"))
    write_report(Results.read(tmp_path / "deployed" / "results.json"), tmp_path / "expected.html")
    written = (tmp_path / "deployed" / "report.html").read_text()
    assert written == (tmp_path / "expected.html").read_text()
    app(FakeGrid(hospitals("north", "east")), configured(tmp_path / "inline", engine="inline"))
    assert not (tmp_path / "inline" / "report.html").exists()


def test_who_may_join_and_how_long_to_wait_come_with_the_run_configuration(tmp_path: Path) -> None:
    sites = hospitals("north", "east", "stranger")
    names = json.dumps({"1": "north", "2": "east"})
    app(FakeGrid(sites), configured(tmp_path, names=names, enrol_wait_s=5.0))
    assert sites[2].asked == []
    assert sorted(Results.read(tmp_path / "results.json").sites) == ["east", "north"]
    with pytest.raises(QuorumError, match=r"east refused \(identity\)"):
        app(FakeGrid(hospitals("north", "south")), configured(tmp_path / "b", names=names, enrol_wait_s=0.2))
