"""What OpenAI's APIs share: errors, media, tools, cache points and schemas."""
