"""The database of teams, keys, budgets and the ledger; and the store of responses for `previous_response_id`."""
