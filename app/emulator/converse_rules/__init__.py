"""The rules by which Bedrock refuses a Converse request that its service model accepts, in AWS's wording.

Each module holds one topic; `check` applies them in Bedrock's order. The rules are listed in
docs/reference/contracts/converse-rules.md. The public issue that shows a rule or its wording is named beside it.
"""
