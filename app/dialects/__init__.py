"""The languages that callers speak. A dialect knows neither the others nor any model."""
