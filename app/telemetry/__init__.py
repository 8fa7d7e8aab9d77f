"""What Outcrop tells of itself, and never of what callers say or models answer."""
