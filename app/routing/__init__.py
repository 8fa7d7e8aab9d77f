"""Which model, where, and in what order."""
