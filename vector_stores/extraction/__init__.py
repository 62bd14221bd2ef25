"""Reading files: what text is in a file of any supported type, and where its pages and tables are.

Files come from strangers, so every parser runs in a child process with limits (`confinement`, `child`) and none of the
server's secrets. Nothing here imports Django: a child starts in tens of milliseconds.
"""

from vector_stores.extraction.documents import CannotExtract, Document, Options, PageStart, Table
from vector_stores.extraction.kinds import SUPPORTED_TYPES
from vector_stores.extraction.programs import missing_tools
from vector_stores.extraction.reading import extract

__all__ = [
    "SUPPORTED_TYPES",
    "CannotExtract",
    "Document",
    "Options",
    "PageStart",
    "Table",
    "extract",
    "missing_tools",
]
