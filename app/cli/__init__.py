"""The command line, `outcrop` or `python -m app`: each command is the `command` of a module."""
