"""What is known of models: their names, their traits, and which of them the account can call."""
