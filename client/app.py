"""The ClientApp: Flower's messages in, the node's answers out through boundary and gate."""

import os
from collections.abc import Callable
from pathlib import Path

import torch
from flwr.app import Context, Message
from flwr.clientapp import ClientApp

from client.boundary import guarded
from client.messages import instruction_of, reply_to
from client.node import Node
from client.site import Site
from shared.errors import ConfigError
from shared.wire import Record

SITES_VARIABLE = "WARDROUND_SITES"
"""Colon-separated site.yaml paths, by partition, where Flower's simulation numbers the nodes."""

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


def answer(message: Message, context: Context, act: Callable[[Node, Record], Record]) -> Message:
    """Answer one instruction; whatever happens, only a released record goes back.

    Raises RuntimeError, which says nothing, where the site's own file, log or audit cannot be used.
    """
    try:
        site = site_of(context)
        torch.set_num_threads(site.threads)
        node = Node(site)
        released = guarded(
            lambda: act(node, instruction_of(message)), gate=node.gate, site=site.name, log=node.log
        )
        return reply_to(message, released)
    except Exception as error:
        # Flower sends the text of what a ClientApp raises to the coordinator; the cause it logs at the node.
        raise RuntimeError("this node cannot answer; its own log says why") from error


@app.query("enrol")
def enrol(message: Message, context: Context) -> Message:
    """Join a study."""
    return answer(message, context, Node.enrol)


@app.train("round")
def train(message: Message, context: Context) -> Message:
    """Train one round."""
    return answer(message, context, Node.train)


@app.evaluate("segmentation")
def evaluate(message: Message, context: Context) -> Message:
    """Score the model."""
    return answer(message, context, Node.evaluate)


@app.evaluate("newton")
def newton(message: Message, context: Context) -> Message:
    """Take one step of the priority fit."""
    return answer(message, context, Node.newton)


@app.evaluate("reliability")
def reliability(message: Message, context: Context) -> Message:
    """Bin probabilities against outcomes."""
    return answer(message, context, Node.reliability)


@app.query("finish")
def finish(message: Message, context: Context) -> Message:
    """Write the site's own reports."""
    return answer(message, context, Node.finish)
