"""asyncio: many calls at once on one connection, a call with a time limit, and a stream.

    bert-serving-start -model_dir /models/all-MiniLM-L6-v2
    python example/example13_asyncio.py

You need no threads and no batches of your own: while one call waits for its vectors, others go on.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
from arguments import get_parser, server_of
from headlines import read_headlines

from bert_serving.client import AsyncBertClient

TOO_SHORT_S = 0.001


async def many_at_once(bc: AsyncBertClient, headlines: list[str]) -> None:
    """One call for each text, as in a web service with many visitors."""
    calls = [asyncio.create_task(bc.encode([headline])) for headline in headlines]
    await asyncio.sleep(0)  # lets each of them send its text
    print(f"{bc.status['num_pending_request']} of {len(calls)} calls are under way on one connection")
    print(f"all done: {np.concatenate(await asyncio.gather(*calls)).shape}")


async def at_most(bc: AsyncBertClient, headlines: list[str], timeout_s: float) -> None:
    """Give up one call when it takes longer. The server does not learn of that, and goes on computing.

    With `AsyncBertClient(timeout=..)`, milliseconds for each call, it learns of the limit and computes nothing in vain.
    """
    try:
        await asyncio.wait_for(bc.encode(headlines), timeout_s)
    except asyncio.TimeoutError:
        print(f"no answer within {timeout_s} s, {bc.status['num_pending_request']} calls are under way")


async def arriving(headlines: list[str]) -> AsyncIterator[str]:
    """Texts that arrive one by one, as from a socket or a queue."""
    for headline in headlines:
        await asyncio.sleep(0)
        yield headline


async def talk(server: dict[str, Any]) -> None:
    headlines, _ = read_headlines()
    async with AsyncBertClient(**server) as bc:
        await many_at_once(bc, headlines)
        await at_most(bc, headlines, TOO_SHORT_S)
        async for batch in bc.encode_stream(arriving(headlines), batch_size=100):
            print(f"texts {batch.start} to {batch.start + batch.count - 1}: {batch.embedding.shape}")


def main() -> None:
    asyncio.run(talk(server_of(get_parser(__doc__).parse_args())))


if __name__ == "__main__":
    main()
