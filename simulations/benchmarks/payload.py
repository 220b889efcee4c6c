"""Bytes of one round at one site, as they are put on the wire: Wardround's run beside Flower's FedAvg."""

from collections import defaultdict
from pathlib import Path

from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp.strategy import FedAvg
from flwr.supercore.inflatable.inflatable_object import get_all_nested_objects

from client.app import app as client_app
from server.app import app as server_app
from shared.model import build, initial_weights, set_weights
from shared.study import Study
from simulations.benchmarks.comparison import Comparison
from simulations.benchmarks.hospitals import prepared_sites, quickstart_study, written
from simulations.engine import InlineGrid, run_config, run_inline

TRAIN, EVALUATE = "train", "evaluate"
OURS = "Wardround"
FLOWER = "Flower FedAvg"
JUDGED = "evaluate evaluate"  # after the last round: its validation and the test patients, in one message


class Scales(ClientApp):
    """An app that weighs what goes in and what comes out, in bytes: each of Flower's objects once, as sent.

    Sizes are kept by what was asked: the kinds of instruction in a message, or Flower's own kind of message.
    """

    def __init__(self, app: ClientApp) -> None:
        super().__init__()
        self._app = app
        self.bytes_down: dict[str, list[int]] = defaultdict(list)
        self.bytes_up: dict[str, list[int]] = defaultdict(list)

    def __call__(self, message: Message, context: Context) -> Message:
        """Answer `message` as the app would."""
        reply = self._app(message, context)
        kinds = [
            str(record["kind"]) for record in message.content.config_records.values() if "kind" in record
        ]
        asked = " ".join(kinds) or message.metadata.message_type
        self.bytes_down[asked].append(_sent_bytes(message.content))
        self.bytes_up[asked].append(_sent_bytes(reply.content))
        return reply


def _sent_bytes(content: RecordDict) -> int:
    return sum(len(part.deflate()) for part in get_all_nested_objects(content).values())


def measure(folder: Path) -> tuple[Comparison, ...]:
    """Send the quickstart's weights through one round of one site, with our apps and with Flower's FedAvg."""
    study = quickstart_study(
        training={"rounds": 1, "local_epochs": 1},
        strategy={"quorum": 1},
        # of a round: counts of voxels leave once a run
        evaluation={"validation_fraction": 0.2, "test_fraction": 0.2, "voxel_temperature": False},
    )
    ours, flower = _wardround(study, folder), _fedavg(study)
    parameters = sum(p.numel() for p in build(study).parameters())
    note = (
        f"one site, one round, the quickstart's U-Net of {parameters:,} float32 parameters, serialised by "
        f"Flower ({parameters * 4:,} bytes are the parameters themselves)"
    )
    sent = (
        ("down, training instruction", ours.bytes_down["train"], flower.bytes_down[TRAIN]),
        ("up, update", ours.bytes_up["train"], flower.bytes_up[TRAIN]),
        ("down, weights to validate", ours.bytes_down[JUDGED], flower.bytes_down[EVALUATE]),
        ("up, validation", ours.bytes_up[JUDGED], flower.bytes_up[EVALUATE]),
    )
    rows = [(measure, first[0], second[0]) for measure, first, second in sent]
    rows.append(("whole round, both ways", sum(row[1] for row in rows), sum(row[2] for row in rows)))
    extra = "; FedAvg's validation is a loss and a count, Wardround's the sums that give the pooled figures"
    return tuple(
        Comparison(
            measure=name,
            unit="bytes",
            better="lower",
            samples={OURS: (float(own),), FLOWER: (float(other),)},
            note=note + (extra if "validation" in name or "whole" in name else ""),
        )
        for name, own, other in rows
    )


def _wardround(study: Study, folder: Path) -> Scales:
    shape = study.preprocessing.shape or study.training.window
    files = prepared_sites(folder, study, sites=1, patients_per_site=12, shape=shape)
    scales = Scales(client_app)
    config = run_config(written(study, folder), folder / "run", sites=1, engine="inline")
    run_inline(server_app, scales, files, config=config, workers=1)
    return scales


def _fedavg(study: Study) -> Scales:
    app = ClientApp()
    metrics = MetricRecord({"loss": 1.0, "num-examples": 1})  # as in Flower's templates

    @app.train()
    def train(message: Message, _: Context) -> Message:
        state = message.content.array_records["arrays"].to_torch_state_dict()
        return Message(RecordDict({"arrays": ArrayRecord(state), "metrics": metrics}), reply_to=message)

    @app.evaluate()
    def evaluate(message: Message, _: Context) -> Message:
        return Message(RecordDict({"metrics": metrics}), reply_to=message)

    scales = Scales(app)
    grid = InlineGrid(scales, [Path("no-site.yaml")], workers=1)
    try:
        net = build(study)
        set_weights(net, initial_weights(study))
        strategy = FedAvg(min_train_nodes=1, min_evaluate_nodes=1, min_available_nodes=1)
        strategy.start(grid, ArrayRecord(net.state_dict()), num_rounds=1)
    finally:
        grid.close()
    return scales
