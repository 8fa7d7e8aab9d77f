"""Translates Converse to OpenAI's Responses and Chat Completions, and their answers to replies and events of Converse.

For models that Converse does not serve. The request has been adapted for its model before it is translated.
"""
