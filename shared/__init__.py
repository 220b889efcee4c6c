"""What a hospital and the coordinator must agree on; imports neither flwr, opacus nor ray."""

__version__ = "0.1.0"
