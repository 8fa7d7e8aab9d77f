"""Converse's own shape: the internal model of Outcrop, in the wire form in which Bedrock speaks it."""
