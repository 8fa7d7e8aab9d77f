"""Paths that several dialects answer: the list of models, and paths that do not exist."""
