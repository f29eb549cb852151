"""Real processes of this machine."""
