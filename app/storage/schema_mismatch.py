"""The failure of a schema that this version cannot use."""


class SchemaMismatch(Exception):
    """The schema of the database is not one that this version can use. The message says what to do."""
