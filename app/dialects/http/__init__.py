"""What all dialects share: endpoints, request bodies, responses, streams, errors and the request middleware."""
