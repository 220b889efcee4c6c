"""Peak memory of a round of Flower's FedAvg: ``python -m simulations.benchmarks.fedavg SITES PARAMETERS``."""

import logging
import sys
from pathlib import Path

import numpy as np
from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp.strategy import FedAvg

from simulations.benchmarks.proc import peak_mb
from simulations.engine import InlineGrid


def main() -> None:
    """Run the round in this process, nodes included, and print MB."""
    sites, parameters = (int(argument) for argument in sys.argv[1:])
    app = ClientApp()

    @app.train()
    def train(message: Message, _: Context) -> Message:
        (weights,) = message.content.array_records["arrays"].to_numpy_ndarrays()
        metrics = MetricRecord({"loss": 1.0, "num-examples": 1})
        content = RecordDict({"arrays": ArrayRecord([weights.copy()]), "metrics": metrics})
        return Message(content, reply_to=message)

    logging.getLogger("flwr").setLevel(logging.ERROR)
    grid = InlineGrid(app, [Path("no-site.yaml")] * sites, workers=1)
    strategy = FedAvg(min_train_nodes=sites, min_available_nodes=sites, fraction_evaluate=0.0)
    strategy.start(grid, ArrayRecord([np.zeros(parameters, np.float32)]), num_rounds=1)
    grid.close()
    print(peak_mb())  # noqa: T201 - for simulations/benchmarks/memory.py


if __name__ == "__main__":
    main()
