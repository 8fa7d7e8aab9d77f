"""The ledger: an immutable entry for each phase of an attempt, a journal on disk, and batches to the database.

An entry is written to the journal before the caller gets the end of its answer, and to the database a little later.
Only an entry that is new there changes a balance: docs/adr/0033-leases-from-one-database.md.
"""
