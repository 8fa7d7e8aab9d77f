"""What Outcrop costs, measured: `python -m benchmarks`."""
