"""The command line, `python -m app`: serve, check the connection to Bedrock, and probe a running gateway."""
