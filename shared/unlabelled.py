"""The label of a voxel that nobody has judged."""

UNLABELLED = 255
