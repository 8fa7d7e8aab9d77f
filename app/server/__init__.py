"""Serves HTTP: an HTTP/1.1 protocol with limits under uvicorn's server, worker processes, and a shutdown that drains.

Only this package touches uvicorn's internals.
"""
