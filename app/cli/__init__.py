"""The command line, `python -m app`: serve, check the way to Bedrock, and probe a running gateway."""
