"""Operations: how the upstream request of one Bedrock API is built, and how its response is parsed."""
