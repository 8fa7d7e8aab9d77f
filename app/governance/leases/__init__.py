"""Leases of capacity: the protocol of docs/adr/0033-leases-from-one-database.md.

`balance` and `lease_book` are the two sides of the protocol, without input and output. `store` runs the first in
transactions of the database; `client` runs the second in a process that admits requests.
"""
