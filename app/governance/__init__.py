"""Authenticates callers, limits requests and their bodies, and applies the guardrail."""
