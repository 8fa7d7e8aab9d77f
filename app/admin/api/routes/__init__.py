"""The HTTP endpoints of the admin API: authentication, transactions, answers and errors."""
