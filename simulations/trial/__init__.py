"""A trial of the priority where the true probability is known: `python -m simulations.trial MODEL`."""
