"""A loop of calls: the assistant's turns between two things that the user says, with results of tools between them.

To Claude a loop is one turn of the assistant's, with its thought at the beginning: "a final `assistant` message must
start with a thinking block (preceding the lastmost set of `tool_use` and `tool_result` blocks)"; the rounds behind it
need none (dust-tt/srchd#41: one thought, 101 calls).
"""

from collections.abc import Callable, Sequence
from typing import TypeVar

Turn = TypeVar("Turn")


def beginning_of_loop(
    turns: Sequence[Turn], is_assistants: Callable[[Turn], bool], has_results: Callable[[Turn], bool]
) -> Turn | None:
    """The assistant's turn with which the loop began that a conversation is amid; nothing if it is in none.

    What one side says one after another is one turn to the model.
    """
    beginning, is_amid, is_next_assistants = None, False, False
    for turn in reversed(turns):
        if not is_assistants(turn):
            is_amid, is_next_assistants = is_amid or has_results(turn), False
        elif is_amid or is_next_assistants:
            beginning, is_amid, is_next_assistants = turn, False, True
        else:
            break
    return beginning
