"""The internal model: Converse's own requests, responses and events as typed dictionaries in JSON form.

Every dialect translates to and from these types. Keys keep AWS's camelCase. Base64 passes through as text.
"""
