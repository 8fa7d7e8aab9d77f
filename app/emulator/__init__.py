"""A Bedrock of our own, for development, tests and demonstrations without AWS.

It speaks the real wire protocol, verifies signatures with botocore's signer, checks requests against botocore's service
model and Bedrock's own rules, and answers from scripted scenes or from a small real language model. It is a stranger to
the gateway: it shares only `kit` and `converse` with it, and nothing imports it.

    python -m app.emulator --port 9000
"""
