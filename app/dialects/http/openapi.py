"""Builds the OpenAPI document from the specs of the endpoints. Only its page loads this module."""

from collections.abc import Iterable, Iterator
from functools import partial
from inspect import Parameter, Signature
from typing import Annotated, Any

from fastapi import FastAPI, Query
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from pydantic import BaseModel
from starlette.routing import BaseRoute, compile_path

from app.dialects.http.endpoint_spec import EndpointSpec, LazyType
from app.wire.json import JsonObject

_DESCRIPTION = """
One HTTP endpoint in front of Amazon Bedrock. Unmodified clients of OpenAI, Anthropic and Bedrock work.

Send a key as `Authorization: Bearer …` or as `x-api-key`, or sign with SigV4 (access key id = the key's name, secret
access key = the key). Every response has an `x-request-id`, the caller's own if it sent one. `x-outcrop-ignored` names
fields without effect, `x-outcrop-adjusted` changes that the model required.
"""
_KEY = "A key of this deployment: one of API_KEYS, or a virtual key."
_SECURITY = {
    "bearer": {"type": "http", "scheme": "bearer", "description": _KEY},
    "x-api-key": {"type": "apiKey", "in": "header", "name": "x-api-key", "description": _KEY},
    "sigv4": {
        "type": "apiKey",
        "in": "header",
        "name": "Authorization",
        "description": "AWS Signature Version 4, service `bedrock`; the pair is a key's name and its secret.",
        "x-amazon-apigateway-authtype": "awsSigv4",
    },
}
_SECURITY_OF_ADMINISTRATORS = {
    "administrator": {
        "type": "http",
        "scheme": "bearer",
        "description": "One of ADMIN_KEYS, or a token with the role `admin`.",
    },
}
_TAGS = [
    {"name": "OpenAI", "description": "For clients of OpenAI's APIs."},
    {"name": "Anthropic", "description": "For clients of Anthropic's Messages API."},
    {"name": "Cohere", "description": "For clients of Cohere's Rerank."},
    {"name": "Bedrock", "description": "For clients of Amazon Bedrock, at AWS's own paths."},
    {"name": "Operations", "description": "For operators of the gateway. Only `/metrics` may need a key, METRICS_KEY."},
]
_ADMINISTRATION = "Administration"
_FASTAPI_S_OWN = "Validation Error"


def openapi_document(application: FastAPI, specs: Iterable[EndpointSpec]) -> JsonObject:
    """Return the OpenAPI document of the endpoints, and of the application's other routes.

    Each endpoint that needs a key has the security schemes.
    """
    document: JsonObject = get_openapi(
        title=application.title,
        version=application.version,
        description=_DESCRIPTION,
        routes=[*(_route(spec) for spec in specs), *_made(application.routes)],
        tags=_TAGS,
    )
    schemes = document.setdefault("components", {})["securitySchemes"] = {**_SECURITY}
    for item in document["paths"].values():
        for operation in item.values():
            tags = operation.get("tags", ())
            if _ADMINISTRATION in tags:
                schemes |= _SECURITY_OF_ADMINISTRATORS
                operation["security"] = [{name: []} for name in _SECURITY_OF_ADMINISTRATORS]
            elif "Operations" not in tags:
                operation["security"] = [{name: []} for name in _SECURITY]
            # the gateway answers invalid requests in other ways
            if operation["responses"].get("422", {}).get("description") == _FASTAPI_S_OWN:
                del operation["responses"]["422"]
    return document


def _made(routes: Iterable[BaseRoute]) -> Iterator[BaseRoute]:
    """Return routes, with those that are made when they are requested."""
    for route in routes:
        yield from getattr(route, "routes", None) or [route]


def _route(spec: EndpointSpec) -> APIRoute:
    """Make the route that documents an endpoint. It serves no request: FastAPI reads parameters from its signature."""
    _, _, names = compile_path(spec.path)
    parameters = [Parameter(name, Parameter.KEYWORD_ONLY, annotation=str) for name in names]
    if (body := _loaded(spec.request)) is not None:
        parameters.append(Parameter("body", Parameter.KEYWORD_ONLY, annotation=body))
    # a name such as `from` is none of Python's
    parameters += [
        Parameter(f"{name}_", Parameter.KEYWORD_ONLY, annotation=Annotated[kind, Query(alias=name)], default=default)
        for name, (kind, default) in spec.query.items()
    ]
    documented: Any = partial(spec.handler)
    documented.__signature__ = Signature(parameters)
    responses = {**spec.responses}
    if spec.chunk is not None:
        responses = {200: {"content": {"text/event-stream": {"schema": _schema_of(spec.chunk())}}}, **responses}
    extra = None if spec.body_examples is None else {"content": {"application/json": {**spec.body_examples}}}
    return APIRoute(
        spec.path,
        documented,
        methods=[spec.method],
        name=spec.name,
        tags=[*spec.tags],
        summary=spec.summary,
        description=spec.description,
        operation_id=spec.operation_id,
        response_model=_loaded(spec.response),
        responses=responses,
        include_in_schema=spec.in_schema,
        openapi_extra=extra and {"requestBody": extra},
    )


def _loaded(type_: object) -> object:
    return type_.load() if isinstance(type_, LazyType) else type_


def _schema_of(model: type[BaseModel]) -> JsonObject:
    """Return the schema of a model with its definitions inlined: FastAPI collects only those of complete responses."""
    schema = model.model_json_schema()
    definitions = schema.pop("$defs")

    def inlined(value: Any) -> Any:
        if isinstance(value, list):
            return [inlined(item) for item in value]
        if not isinstance(value, dict):
            return value
        if "$ref" in value:
            return inlined(definitions[value["$ref"].rpartition("/")[2]])
        return {name: inlined(item) for name, item in value.items()}

    return {name: inlined(value) for name, value in schema.items()}
