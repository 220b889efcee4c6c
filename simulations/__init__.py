"""Many sites on one machine: phantoms, partitions, engines, baselines."""
