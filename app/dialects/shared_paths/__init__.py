"""Paths that belong to no single dialect: the list of models, callers' own usage and limits, and unknown paths."""
