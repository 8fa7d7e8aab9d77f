"""The tasks that run beside the requests: they delete old rows, write counts of requests, and send webhooks."""
