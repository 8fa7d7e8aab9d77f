"""The path to Bedrock: endpoints, credentials, signing, transport, decoding, errors and retry, a file each."""
