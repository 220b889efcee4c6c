"""Large bodies of requests, straight to a file: never more than a few megabytes of one are in memory."""

from typing import IO

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

PIECE_BYTES = 2**20


def length_of(request: Request) -> int | None:
    """Return how long the request says that its body is; None where it does not say."""
    text = request.headers.get("content-length", "")
    return int(text) if text.isascii() and text.isdigit() else None


async def pour(request: Request, target: IO[bytes]) -> None:
    """Write a body as it comes; raises ClientDisconnect where it ends too soon."""
    pending = bytearray()
    async for piece in request.stream():
        pending += piece
        if len(pending) >= PIECE_BYTES:
            await run_in_threadpool(target.write, bytes(pending))
            pending.clear()
    await run_in_threadpool(target.write, bytes(pending))
