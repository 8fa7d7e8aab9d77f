"""Upper bounds for the tokens of a call, before it is sent.

A token covers at least one byte of text, so a text has at most as many tokens as bytes. The rest is what a model's
template adds, and media. The figures lie above those that Anthropic, Amazon and OpenAI document for images, and for the
instructions that tools add. A document of few bytes may have many pages, so it counts as a whole context.
"""

from msgspec import Struct

_TEMPLATE_TOKENS = 500
_TURN_TOKENS = 16
_TOOLS_TOKENS = 1_000
_IMAGE_TOKENS = 5_000
_CONTEXT_TOKENS = 1_000_000
# no call has so many: what they cost must fit into a column of the database, with many calls at once
_LONGEST_TOKENS = 100_000_000


class CallSize(Struct, frozen=True):
    """What is known of a call's input. text_bytes: of all texts and schemas in UTF-8; media does not count.

    documents: files whose pages are not known, audio and video. runs: of the model on the same input.
    """

    text_bytes: int
    turns: int = 1
    has_tools: bool = False
    images: int = 0
    documents: int = 0
    runs: int = 1


class CallBounds(Struct, frozen=True, gc=False):
    """The most tokens that a call can have. output: the `max_tokens` that are sent, if answers can be so long."""

    input: int
    output: int

    @property
    def total(self) -> int:
        """All tokens."""
        return self.input + self.output


def bounds_of_size(size: CallSize, max_tokens: int) -> CallBounds:
    """Return the bounds of a call, which no input can exceed: more than a context is refused by every model."""
    tokens = size.text_bytes + _TEMPLATE_TOKENS + size.turns * _TURN_TOKENS + size.has_tools * _TOOLS_TOKENS
    tokens += size.images * _IMAGE_TOKENS + size.documents * _CONTEXT_TOKENS
    return CallBounds(min(tokens, _CONTEXT_TOKENS) * size.runs, min(max_tokens * size.runs, _LONGEST_TOKENS))


def bounds_of_body(body_bytes: int, max_tokens: int, *, has_tools: bool) -> CallBounds:
    """Return the bounds of a call without media by the bytes of its JSON.

    The JSON around the text of a turn has more bytes than a template adds tokens for it.
    """
    tokens = body_bytes + (_TEMPLATE_TOKENS + _TOOLS_TOKENS if has_tools else _TEMPLATE_TOKENS)
    longest = max_tokens if max_tokens < _LONGEST_TOKENS else _LONGEST_TOKENS
    return CallBounds(tokens if tokens < _CONTEXT_TOKENS else _CONTEXT_TOKENS, longest)
