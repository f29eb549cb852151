"""Hosts that other tools have started, one process each, and that find one another by TF_CONFIG."""
