"""Chooses targets: the planner, failover between targets, and circuit breakers."""
