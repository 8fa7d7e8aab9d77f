"""Serves HTTP: uvicorn's protocol with limits, worker processes, and a shutdown that drains connections.

Only this package touches uvicorn's internals.
"""
