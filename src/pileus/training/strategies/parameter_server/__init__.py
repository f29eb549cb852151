"""Weights and optimiser in servers, sharded by tensor: synchronous, stale-synchronous, asynchronous."""
