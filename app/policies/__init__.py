"""What a caller must pass before anything is spent."""
