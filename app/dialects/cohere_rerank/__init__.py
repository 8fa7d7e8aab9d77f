"""Cohere's Rerank, which is also what Jina's and vLLM's clients send."""
