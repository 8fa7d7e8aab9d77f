"""Cohere's Rerank API: `POST /v1/rerank` and `/v2/rerank`."""
