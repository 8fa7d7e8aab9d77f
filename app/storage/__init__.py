"""Stores responses for `previous_response_id`, in memory or in SQLite."""
