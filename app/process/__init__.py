"""Resources of the process itself: deadlines, the worker thread, memory, caches, signals and shared counters."""
