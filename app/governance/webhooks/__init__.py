"""Webhooks: events that are found in the database and sent to the operator's URL, signed, once over all replicas.

An event is a row of the table `webhooks`, whose `subject` is unique. Nothing here runs in a request.
"""
