"""What outlives a request: ports, and what stands behind them."""
