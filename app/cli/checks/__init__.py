"""What `outcrop check` tries: each step of a call to Bedrock, and each model that the configuration names."""
