"""Changes a body of Anthropic's Messages into one that a model's InvokeModel accepts.

`body` holds the passes in their order. A field of the body that Bedrock is not known to accept is left out and named,
since Bedrock refuses the whole call for one. The content of messages, blocks and tools is sent as it is, so that new
fields of Anthropic's need no release here, and Bedrock's own error messages reach the caller.

Source: docs/reference/contracts/anthropic-on-invokemodel.md#body
"""

from app.adaptation.invoke.adapted_body import AdaptedInvokeBody
from app.adaptation.invoke.body import adapt_invoke

__all__ = ["AdaptedInvokeBody", "adapt_invoke"]
