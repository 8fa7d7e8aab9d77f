"""What is known of models: their ids, capabilities, prices, and the error messages that reveal a limit."""
