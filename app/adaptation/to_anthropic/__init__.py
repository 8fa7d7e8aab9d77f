"""Translates Converse to Anthropic's Messages, and its answers to replies and events of Converse.

For Claude that Converse does not serve. The request has been adapted for its model before it is translated.
"""
