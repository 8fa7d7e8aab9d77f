"""The OpenAI Chat Completions dialect. Contracts sections 1 and 5."""
