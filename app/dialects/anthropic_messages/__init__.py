"""Anthropic Messages: for programs that speak Anthropic."""
