"""Decides who may call, how much at once, and with which guardrail."""
