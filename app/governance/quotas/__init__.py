"""Bedrock's own quotas, spent evenly and divided fairly: docs/operate/quotas.md.

A pool holds one quota: that of a model or inference profile, in one region and account, at one endpoint. Its `meters`
tell when a call fits, its `fair_queue` which call is next. `estimates` guesses what a call will take of the quota,
`learned_limit` lowers a quota that turns out to be smaller than it was said to be. `shared_meters` divides a pool
between replicas by leases. `service_quotas` reads the limits of the account.
"""
