"""Tool loops: the assistant's turns between two texts of the user, with tool results between them.

Claude reads a loop as one turn of the assistant, which begins with reasoning: "a final `assistant` message must start
with a thinking block (preceding the lastmost set of `tool_use` and `tool_result` blocks)". Later rounds need none
(dust-tt/srchd#41: one thinking block, 101 calls).
"""

from collections.abc import Callable, Sequence
from typing import TypeVar

Turn = TypeVar("Turn")


def beginning_of_loop(
    turns: Sequence[Turn], is_assistant: Callable[[Turn], bool], has_results: Callable[[Turn], bool]
) -> Turn | None:
    """Return the first turn of the assistant in the loop that the conversation ends in; None if it ends in none.

    Adjacent turns of one role are one turn to the model.
    """
    beginning, is_in_loop, is_next_assistant = None, False, False
    for turn in reversed(turns):
        if not is_assistant(turn):
            is_in_loop, is_next_assistant = is_in_loop or has_results(turn), False
        elif is_in_loop or is_next_assistant:
            beginning, is_in_loop, is_next_assistant = turn, False, True
        else:
            break
    return beginning
