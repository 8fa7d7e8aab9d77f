"""What a call may cost at most, and the holds of callers' limits and budgets for it."""
