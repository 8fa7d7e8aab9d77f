"""All of Converse's rules, in the order in which Bedrock applies them."""

from app.converse.request import ConverseRequest
from app.emulator.catalog import Model
from app.emulator.converse_rules.blocks import check_blocks
from app.emulator.converse_rules.caching import check_caching
from app.emulator.converse_rules.documents import check_documents
from app.emulator.converse_rules.output_schema import check_output_schema
from app.emulator.converse_rules.shared_turns import check_shared_turns
from app.emulator.converse_rules.tool_config import check_tool_config
from app.emulator.converse_rules.tool_results import check_tool_results
from app.emulator.converse_rules.turns import check_system, check_turns
from app.emulator.model_rules.check import check_model_rules


def check_converse_rules(model: Model, request: ConverseRequest) -> None:
    """Check a request that conforms to the service model.

    Rules of the service come first; those of the model itself carry its prefix.

    Raises:
        ServiceError: a ValidationException, or an AccessDeniedException for prompt caching.
    """
    messages = request.get("messages") or []
    check_system(request)
    check_turns(messages)
    check_blocks(messages)
    check_shared_turns(model, messages)
    check_documents(messages)
    check_tool_config(model, request, messages)
    check_tool_results(messages)
    check_caching(model, request, messages)
    check_output_schema(request)
    check_model_rules(model, request, "The model returned the following errors: ")
