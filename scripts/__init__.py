"""Programs that start, test and measure the project; the gateway itself needs none of them."""
