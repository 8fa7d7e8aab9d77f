"""The rules that a model applies itself, whichever operation carries the request: those of Claude, and a few of others.

Converse puts a prefix before the model's wording, InvokeModel does not. The public issue that shows a rule or its
wording is named beside it.
"""
