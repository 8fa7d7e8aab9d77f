"""OpenAI Responses, translated: for Codex and for programs that use OpenAI's newer API."""
