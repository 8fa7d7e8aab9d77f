"""OpenAI's APIs: Chat Completions, Responses and Embeddings."""
