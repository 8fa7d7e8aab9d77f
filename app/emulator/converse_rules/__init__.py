"""The rules by which Bedrock refuses a Converse request that its service model accepts, in AWS's wording.

One topic a module, in the order in which `check` applies them (contracts section 6). The public issue that shows a rule
or its wording is named beside it.
"""
