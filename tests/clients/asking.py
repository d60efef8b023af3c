"""What users of other packages do, by those packages themselves: asking.py CASE, with a `Question` on standard input.

Runs in the environment of `make clients`, which has those packages and nothing of this project. Each case prints JSON:
of vectors by what they were asked with, each for the first texts of the question; of orders `[index, score]` by what
they were asked with, best first.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable
from typing import Any, TypedDict

MODEL = "a-name-that-is-nobodys"
KEY = "none"


class Question(TypedDict):
    """What to ask, and of which server."""

    url: str
    texts: list[str]
    query: str
    documents: list[str]
    dimensions: int


Answer = dict[str, Any]


def openai(question: Question) -> Answer:
    """Base64 is what it asks for by itself."""
    from openai import AsyncOpenAI, OpenAI

    where: Any = {"base_url": f"{question['url']}/v1", "api_key": KEY, "max_retries": 0}
    client, texts = OpenAI(**where), question["texts"]

    def vectors(**options: Any) -> list[list[float]]:
        return [item.embedding for item in client.embeddings.create(model=MODEL, **options).data]

    async def later() -> list[list[float]]:
        async with AsyncOpenAI(**where) as waiting:
            return [item.embedding for item in (await waiting.embeddings.create(model=MODEL, input=texts)).data]

    assert client.models.list().data[0].id
    return {
        "base64": vectors(input=texts),
        "floats": vectors(input=texts, encoding_format="float"),
        "a text": vectors(input=texts[0]),
        "async": asyncio.run(later()),
        "dimensions": vectors(input=texts, dimensions=question["dimensions"]),
    }


def langchain_openai(question: Question) -> Answer:
    """With the one argument that makes it send texts."""
    return _langchain(question, check_embedding_ctx_length=False)


def langchain_openai_defaults(question: Question) -> Answer:
    """It sends OpenAI's token ids; what is refused comes back as `refused` with its status."""
    from openai import APIStatusError

    try:
        return _langchain(question)
    except APIStatusError as error:
        return {"refused": str(error), "status": error.status_code}


def _langchain(question: Question, **options: Any) -> Answer:
    from langchain_openai import OpenAIEmbeddings

    given: Any = {"base_url": f"{question['url']}/v1", "api_key": KEY, "model": MODEL, "max_retries": 0}
    client, texts = OpenAIEmbeddings(**given, **options), question["texts"]
    return {
        "embed_documents": client.embed_documents(texts),
        "embed_query": [client.embed_query(texts[0])],
        "aembed_documents": asyncio.run(client.aembed_documents(texts)),
    }


def llama_index_openai(question: Question) -> Answer:
    from llama_index.embeddings.openai import OpenAIEmbedding

    client = OpenAIEmbedding(model_name=MODEL, api_base=f"{question['url']}/v1", api_key=KEY, max_retries=0)
    return _llama_index(client, question["texts"])


def llama_index_tei(question: Question) -> Answer:
    from llama_index.embeddings.text_embeddings_inference import TextEmbeddingsInference

    return _llama_index(TextEmbeddingsInference(model_name=MODEL, base_url=question["url"]), question["texts"])


def _llama_index(client: Any, texts: list[str]) -> Answer:
    return {
        "get_text_embedding_batch": client.get_text_embedding_batch(texts),
        "get_text_embedding": [client.get_text_embedding(texts[0])],
        "get_query_embedding": [client.get_query_embedding(texts[0])],
        "aget_text_embedding_batch": asyncio.run(client.aget_text_embedding_batch(texts)),
    }


def haystack_openai(question: Question) -> Answer:
    from haystack.components.embedders import OpenAIDocumentEmbedder, OpenAITextEmbedder
    from haystack.utils import Secret

    where: Any = {"api_base_url": f"{question['url']}/v1", "api_key": Secret.from_token(KEY), "model": MODEL}
    return _haystack(OpenAITextEmbedder(**where), OpenAIDocumentEmbedder(**where), question["texts"])


def haystack_tei(question: Question) -> Answer:
    from haystack_integrations.components.embedders.huggingface_api import (
        HuggingFaceAPIDocumentEmbedder,
        HuggingFaceAPITextEmbedder,
    )

    where: Any = {"api_type": "text_embeddings_inference", "api_params": {"url": question["url"]}, "token": None}
    return _haystack(HuggingFaceAPITextEmbedder(**where), HuggingFaceAPIDocumentEmbedder(**where), question["texts"])


def _haystack(of_text: Any, of_documents: Any, texts: list[str]) -> Answer:
    from haystack import Document

    found = of_documents.run(documents=[Document(content=text) for text in texts])["documents"]
    return {"documents": [document.embedding for document in found], "a text": [of_text.run(texts[0])["embedding"]]}


def litellm_openai(question: Question) -> Answer:
    return _litellm(question, f"openai/{MODEL}", f"{question['url']}/v1")


def litellm_ollama(question: Question) -> Answer:
    return _litellm(question, f"ollama/{MODEL}", question["url"])


def litellm_tei(question: Question) -> Answer:
    """Without `input_type` it asks Hugging Face what the model is for."""
    return _litellm(question, f"huggingface/{MODEL}", question["url"], input_type="embed")


def _litellm(question: Question, model: str, url: str, **options: Any) -> Answer:
    from litellm import aembedding, embedding

    given: Any = {"model": model, "api_base": url, "api_key": KEY, "input": question["texts"], **options}
    return {
        "embedding": [item["embedding"] for item in embedding(**given).data],
        "aembedding": [item["embedding"] for item in asyncio.run(aembedding(**given)).data],
    }


def ollama(question: Question) -> Answer:
    from ollama import AsyncClient, Client

    client, texts = Client(host=question["url"]), question["texts"]
    assert client.list().models[0].model
    assert "embedding" in (client.show(MODEL).capabilities or [])
    later = AsyncClient(host=question["url"]).embed(MODEL, texts)
    return {
        "embed": client.embed(MODEL, texts).embeddings,
        "embed of a text": client.embed(MODEL, texts[0]).embeddings,
        "async": asyncio.run(later).embeddings,
        "embeddings": [client.embeddings(MODEL, texts[0]).embedding],
        "dimensions": client.embed(MODEL, texts, dimensions=question["dimensions"]).embeddings,
    }


def llama_index_rerank(question: Question) -> Answer:
    from llama_index.core.schema import NodeWithScore, TextNode
    from llama_index.postprocessor.tei_rerank import TextEmbeddingInference

    documents = question["documents"]
    nodes = [NodeWithScore(node=TextNode(id_=str(index), text=text)) for index, text in enumerate(documents)]
    client = TextEmbeddingInference(base_url=question["url"], model_name=MODEL, top_n=len(documents))
    found = client.postprocess_nodes(nodes, query_str=question["query"])
    return {"postprocess_nodes": [[int(node.node_id), node.score] for node in found]}


def haystack_rerank(question: Question) -> Answer:
    from haystack import Document
    from haystack_integrations.components.rankers.huggingface_api import HuggingFaceTEIRanker

    documents = [Document(id=str(index), content=text) for index, text in enumerate(question["documents"])]
    found = HuggingFaceTEIRanker(url=question["url"], token=None).run(question["query"], documents)["documents"]
    return {"run": [[int(document.id), document.score] for document in found]}


def litellm_rerank(question: Question) -> Answer:
    """By the name of each of those providers whose shape this server has."""
    from litellm import rerank

    def order(model: str, url: str, **options: Any) -> list[Any]:
        given: Any = {"model": f"{model}/{MODEL}", "api_base": url, "api_key": KEY}
        results = rerank(**given, query=question["query"], documents=question["documents"], **options).results
        return [[result["index"], result["relevance_score"]] for result in results]

    url = question["url"]
    return {
        "cohere": order("cohere", f"{url}/v2/rerank"),
        "jina_ai": order("jina_ai", f"{url}/v1/rerank"),
        "huggingface": order("huggingface", url),
        "hosted_vllm": order("hosted_vllm", url),
        "infinity": order("infinity", url, return_documents=False),
        "top 2": order("cohere", f"{url}/v2/rerank", top_n=2),
    }


def cohere(question: Question) -> Answer:
    from cohere import AsyncClientV2, Client, ClientV2

    where = {"base_url": question["url"], "api_key": KEY}
    asked: Any = {"model": MODEL, "query": question["query"], "documents": question["documents"]}

    def order(answer: Any) -> list[Any]:
        return [[result.index, result.relevance_score] for result in answer.results]

    return {
        "ClientV2": order(ClientV2(**where).rerank(**asked)),
        "Client": order(Client(**where).rerank(**asked)),
        "async": order(asyncio.run(AsyncClientV2(**where).rerank(**asked))),
        "top 2": order(ClientV2(**where).rerank(**asked, top_n=2)),
        "return_documents": order(Client(**where).rerank(**asked, return_documents=True)),
    }


Case = Callable[[Question], Answer]
VECTORS: dict[str, Case] = {
    case.__name__: case
    for case in (
        openai,
        langchain_openai,
        llama_index_openai,
        llama_index_tei,
        haystack_openai,
        haystack_tei,
        litellm_openai,
        litellm_ollama,
        litellm_tei,
        ollama,
    )
}
ORDERS: dict[str, Case] = {
    case.__name__: case for case in (llama_index_rerank, haystack_rerank, litellm_rerank, cohere)
}
OTHERS: dict[str, Case] = {"langchain_openai_defaults": langchain_openai_defaults}

if __name__ == "__main__":
    print(json.dumps((VECTORS | ORDERS | OTHERS)[sys.argv[1]](json.load(sys.stdin))))
