"""Programs that use other people's frameworks, unmodified, against a gateway: `python -m ... URL KEY KEY_NAME`.

They run in an environment of their own, since the frameworks pin what they like. Each asserts what it sees.
"""
