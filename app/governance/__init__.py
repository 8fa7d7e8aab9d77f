"""Decides who may call, and how much: identity, admission, limits, budgets, quotas, guardrails. Charges the calls."""
