"""Benchmarks of the CPU, memory and latency of a gateway process: `python -m benchmarks`."""
