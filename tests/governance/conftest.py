"""Databases for the tests of this folder."""

from tests.databases import database, database_url, empty_database, postgres

__all__ = ["database", "database_url", "empty_database", "postgres"]
