"""The trivial study that Flower's own deployment runs beside ours: FedAvg, and nodes that send back.

It moves weights of the size of the study's in each round, down and up for training and down for evaluation,
and computes nothing. Installed nowhere: simulations/benchmarks/stock.py packs this file as Flower's app.
"""

import json
import time
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg

client = ClientApp()
server = ServerApp()


@client.train()
def train(message: Message, _: Context) -> Message:
    """Send back the weights."""
    metrics = MetricRecord({"loss": 1.0, "num-examples": 1})
    content = RecordDict({"arrays": message.content.array_records["arrays"], "metrics": metrics})
    return Message(content, reply_to=message)


@client.evaluate()
def evaluate(message: Message, _: Context) -> Message:
    """Send back a figure."""
    metrics = MetricRecord({"loss": 1.0, "num-examples": 1})
    return Message(RecordDict({"metrics": metrics}), reply_to=message)


class Timed(FedAvg):
    """FedAvg that notes when each round begins."""

    begun_s: list[float]

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Note the time, then do as FedAvg does."""
        self.begun_s.append(time.monotonic())
        return super().configure_train(server_round, arrays, config, grid)


@server.main()
def main(grid: Grid, context: Context) -> None:
    """Run the rounds; write the seconds of each into the file `out` of the run's configuration."""
    config = context.run_config
    weights = ArrayRecord([np.zeros(int(config["parameters"]), np.float32)])
    sites = int(config["sites"])
    strategy = Timed(min_train_nodes=sites, min_evaluate_nodes=sites, min_available_nodes=sites)
    strategy.begun_s = []
    strategy.start(grid, weights, num_rounds=int(config["rounds"]))
    times_s = [*strategy.begun_s, time.monotonic()]
    seconds = [after - before for before, after in pairwise(times_s)]
    draft = Path(str(config["out"])).with_suffix(".draft")
    draft.write_text(json.dumps(seconds), encoding="utf-8")
    draft.rename(str(config["out"]))
