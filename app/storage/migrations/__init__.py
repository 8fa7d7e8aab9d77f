"""Changes of the schema, as scripts of Alembic in `versions`. `schema.py` runs them.

The revisions are numbers. A version of Outcrop also runs on a schema that is one revision newer, so that a rolling
deployment and its rollback work: a migration adds what the version before it can ignore, and removes only what it no
longer uses.
"""
