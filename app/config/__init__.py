"""The configuration: environment variables, the optional `.env` file and the configuration file, validated at start."""
