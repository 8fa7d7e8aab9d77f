"""An emulated Bedrock, for development, tests and demonstrations without AWS.

It speaks the real wire protocol, verifies signatures with botocore's signer, checks requests against botocore's service
model and Bedrock's own rules, and answers from scripted models or from a small real language model. It is independent
of the gateway: it imports only `wire`, `converse` and `process.signals`, and nothing imports it.

    python -m app.emulator --port 9000
"""
