"""The admin API: operations on teams, keys, budgets and reports, and their HTTP endpoints under `/admin/v1`.

Only deployments with DATABASE_URL load it. The console and the command line call the operations, too.
"""
