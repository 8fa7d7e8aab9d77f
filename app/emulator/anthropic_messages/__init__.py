"""Claude over InvokeModel: Anthropic Messages bodies become Converse requests, and Converse events Anthropic's.

Shapes: contracts 3.2, 3.3 and 3.5; recording anthropic_mid_conversation_system for a reply over InvokeModel.
"""
