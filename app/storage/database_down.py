"""The error of a database that cannot be used. Whoever catches it need not load the libraries of databases."""


class DatabaseDown(Exception):
    """The database cannot be reached, or refuses the connection. The message holds no password."""
