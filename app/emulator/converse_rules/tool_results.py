"""Tool calls and their results: each call is answered once, in the next turn, and nothing else is answered."""

from app.converse.request import Message
from app.emulator.converse_rules.tool_config import is_client_call, is_client_result
from app.emulator.errors import invalid


def check_tool_results(messages: list[Message]) -> None:
    """Check that the results of each user turn match the calls of the turn before."""
    turns = [message for message in messages if message["role"] != "system"]
    calls: list[str] = []
    for turn, message in enumerate(turns):
        if message["role"] == "user":
            _check_results(message, turn, calls)
            calls = []
        else:
            calls = [block["toolUse"]["toolUseId"] for block in message["content"] if is_client_call(block)]
            if len(set(calls)) < len(calls):
                raise invalid(f"The toolUse blocks at messages.{turn}.content contain duplicate Ids: {calls[0]}")


def _check_results(message: Message, turn: int, calls: list[str]) -> None:
    results = [block["toolResult"]["toolUseId"] for block in message["content"] if is_client_result(block)]
    if len(set(results)) < len(results):
        # litellm#20047
        raise invalid(
            f"The toolResult blocks at messages.{turn}.content contain duplicate Ids: "
            f"{', '.join(sorted({each for each in results if results.count(each) > 1}))}"
        )
    if len(results) > len(calls):
        # Curie#16, OpenHands#4912
        raise invalid(
            f"The number of toolResult blocks at messages.{turn}.content exceeds the number of "
            "toolUse blocks of previous turn."
        )
    if missing := [call for call in calls if call not in results]:
        # agno#6698
        raise invalid(
            f"Expected toolResult blocks at messages.{turn}.content for the following Ids: {', '.join(missing)}"
        )
