"""From the files of a case to the network's input, and a mask back to the scan's own grid."""
