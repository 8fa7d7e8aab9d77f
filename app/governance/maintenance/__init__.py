"""What runs beside the requests: deletes rows that nothing needs any more, and verifies the sums of the ledger."""
