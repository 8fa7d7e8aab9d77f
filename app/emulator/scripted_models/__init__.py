"""The scripted models: each answers by a fixed scenario, and what it says follows from the request alone.

`scenarios` picks the scenario by the model's id and returns a `Script`; `playback` cuts that to the request's limits
and streams it as Converse events.
"""
