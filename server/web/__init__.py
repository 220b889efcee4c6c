"""The coordinator's pages: board, runs, studies, calibration, sites. PyTorch and Flower are not imported."""
