"""From files on a hospital's disk to windows a network can train on."""
