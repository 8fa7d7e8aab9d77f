"""Claude over InvokeModel: Anthropic Messages bodies become Converse requests, and Converse events Anthropic's.

Shapes: docs/reference/contracts/anthropic-messages.md#request-fields and #reply,
docs/reference/contracts/anthropic-on-invokemodel.md#body, and recording anthropic_mid_conversation_system for a reply
over InvokeModel.
"""
