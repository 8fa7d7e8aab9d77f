"""The client of Amazon Bedrock: endpoints, credentials, signing, HTTP, stream decoding and error mapping.

boto3 and botocore are never on the request path. One attempt at one target goes through `client.BedrockClient`.
"""
