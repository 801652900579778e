"""Models over HTTP, for clients of OpenAI's and of text-embeddings-inference's API: ``pip install "bge-fast[server]"``.

`create_app` makes an ASGI application of opened models, which any ASGI server runs, by itself or mounted in another
application; ``bge-fast serve`` runs it with uvicorn.
"""

try:
    import msgspec as msgspec
    import prometheus_client as prometheus_client
    import starlette as starlette
except ImportError as error:
    raise ImportError(f'the server needs {error.name}: pip install "bge-fast[server]"') from error

from bge_fast.server.app import create_app as create_app
from bge_fast.server.limits import Limits as Limits

__all__ = ["Limits", "create_app"]
