"""OpenAI's APIs at Bedrock: Chat Completions and Responses, at the runtime's `/openai/v1` and on mantle.

Requests become Converse requests, Converse events become OpenAI's. Paths, ids and refusals: AWS user guide, models by
API and the cards of GPT-5.6, gpt-oss and Gemma 4 (2026-11), and litellm's live tests. Shapes and framing: the
recordings of mantle (`data:` before `event:`, call ids that repeat, members of a response).
"""
