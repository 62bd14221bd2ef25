"""OpenAPI documents as functions for a model: read, called by the byte, and authenticated. Nothing here does I/O.

document = read_document(text, url)              # BadDocument, with the place
operation = document.operations[0]               # as_json(), Operation.from_json()
request = request_for(operation, arguments)      # BadArguments, for the model
request = authenticated(request, authentication, operation)   # BadAuthentication, with the place
"""

from tools.openapi.authentication import (
    authenticated,
    check_authentication,
    destinations,
    keeps_secrets,
    masked,
    merged,
    token_of,
    token_request,
)
from tools.openapi.documents import Document, read_document
from tools.openapi.faults import BadArguments, BadAuthentication, BadDocument
from tools.openapi.operation import Operation
from tools.openapi.reading import MAX_BYTES
from tools.openapi.requests import Request, request_for
from tools.openapi.writing import openapi_of

__all__ = [
    "MAX_BYTES",
    "BadArguments",
    "BadAuthentication",
    "BadDocument",
    "Document",
    "Operation",
    "Request",
    "authenticated",
    "check_authentication",
    "destinations",
    "keeps_secrets",
    "masked",
    "merged",
    "openapi_of",
    "read_document",
    "request_for",
    "token_of",
    "token_request",
]
