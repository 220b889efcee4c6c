"""What a site checks its own model with: seismometer now, experts later."""
