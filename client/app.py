"""The ClientApp: Flower's messages in, the node's answers out through boundary and gate."""

import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import torch
from flwr.app import Context, Message
from flwr.clientapp import ClientApp

from client.boundary import guarded
from client.messages import instruction_of, instructions_in, reply_to
from client.node import Node
from client.site import Site
from shared.errors import ConfigError
from shared.wire import Record

SITES_VARIABLE = "WARDROUND_SITES"
"""Colon-separated site.yaml paths, by partition, where Flower's simulation numbers the nodes."""

Act = Callable[[Node, Record], Record]

ACTS: Mapping[str, Act] = {
    "enrol": lambda node, record: node.enrol(record),
    "train": lambda node, record: node.train(record),
    "evaluate": lambda node, record: node.evaluate(record),
    "newton": lambda node, record: node.newton(record),
    "newton_map": lambda node, record: node.newton_map(record),
    "held_out": lambda node, record: node.held_out(record),
    "histograms": lambda node, record: node.histograms(record),
    "reliability": lambda node, record: node.reliability(record),
    "voxels": lambda node, record: node.voxels(record),
    "describe": lambda node, record: node.describe(record),
    "finish": lambda node, record: node.finish(record),
}
"""What the node does for each kind of instruction."""

app = ClientApp()


def site_of(context: Context) -> Site:
    """Find this node's site: `site` in the node's own configuration, or its place in WARDROUND_SITES."""
    config = context.node_config
    if "site" in config:
        return Site.read(Path(str(config["site"])))
    paths = os.environ.get(SITES_VARIABLE, "").split(":")
    partition = int(config.get("partition-id", -1))
    if not 0 <= partition < len(paths) or not paths[partition]:
        raise ConfigError(
            "start the node with --node-config 'site=\"site.yaml\"'; "
            f"{SITES_VARIABLE} has no entry {partition}."
        )
    return Site.read(Path(paths[partition]))


def answer(message: Message, context: Context, acts: Mapping[str, Act] = ACTS) -> Message:
    """Answer every instruction in order, each on its own; whatever happens, only released records go back.

    A refused or failed instruction has a `failure` in its place and does not stop the next one.
    Raises RuntimeError, which says nothing, where the site's own file, log or audit cannot be used.
    """

    def act(place: int) -> Record:
        record = instruction_of(message, place)
        return acts[record.kind](node, record)

    try:
        site = site_of(context)
        torch.set_num_threads(site.threads)
        node = Node(site)
        answers = [
            guarded(partial(act, place), gate=node.gate, site=site.name, log=node.log)
            for place in range(instructions_in(message))
        ]
        return reply_to(message, answers)
    except Exception as error:
        # Flower sends the text of what a ClientApp raises to the coordinator; the cause it logs at the node.
        raise RuntimeError("this node cannot answer; its own log says why") from error


@app.query()
def instructions(message: Message, context: Context) -> Message:
    """Do what the coordinator asks; Flower's own kinds of message say nothing here."""
    return answer(message, context)
