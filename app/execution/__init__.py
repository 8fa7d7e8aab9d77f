"""Runs one call: plans its targets, makes attempts, reads the response and relays streams."""
