"""Programs that use unmodified third-party frameworks against a gateway: `python -m ... URL KEY KEY_NAME`.

They run in their own environment, because the frameworks pin their dependencies. Each program asserts its results.
"""
