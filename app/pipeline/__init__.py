"""The way of a call from an authenticated caller to Bedrock and back."""
