"""How replicas come to agree on a step's sum."""
