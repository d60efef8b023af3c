"""The server's one frozen configuration: every option, its default, its help and its check, in one table.

The command line (`options.py`), the environment and Python all end in a `ServerConfig`; everything after that point
reads it and nothing changes it. Child processes get it as JSON.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from enum import IntEnum
from importlib.util import find_spec
from typing import Any

from bert_serving.server.errors import ConfigError
from bert_serving.server.option_values import (
    fraction,
    integer,
    negative,
    one_of,
    port_number,
    readable_name,
    resource,
    sequence_length,
)


class PoolingStrategy(IntEnum):
    """How the vectors of a text's tokens become one vector. The numbers are those that 1.10 shows in its config."""

    NONE = 0
    REDUCE_MAX = 1
    REDUCE_MEAN = 2
    REDUCE_MEAN_MAX = 3
    FIRST_TOKEN = 4
    CLS_TOKEN = 4
    LAST_TOKEN = 5
    SEP_TOKEN = 5
    CLS_POOLED = 6
    CLASSIFICATION = 7
    REGRESSION = 8
    LOGITS = 9
    REDUCE_MEAN_SQRT = 10
    WEIGHTED_MEAN = 11

    @staticmethod
    def from_name(name: str) -> PoolingStrategy:
        """The strategy of that name, or ValueError."""
        try:
            return PoolingStrategy[name]
        except KeyError:
            raise ValueError(f"must be one of {', '.join(PoolingStrategy.__members__)}, not {name!r}") from None


DTYPES = ("float32", "bfloat16", "float16", "auto")
SPECIAL_TOKENS = ("folder", "text")
TERMINATE = ("local", "key", "never", "anywhere")
LAUNCHERS = ("local", "ray")


def _option(
    default: Any,
    text: str,
    read: Callable[[str], Any] = str,
    *,
    group: str,
    aliases: tuple[str, ...] = (),
    several: bool = False,
    least: int = 1,
    metavar: str | None = None,
    shapes_vectors: bool = False,
) -> Any:
    """A field of ServerConfig that is an option of `bert-serving-start`; a bool default makes it a switch.

    `several` takes a list of at least `least` values. `shapes_vectors`: with another value vectors may be others by
    more than rounding, so it is a part of the model's fingerprint.
    """
    about = {"help": text, "read": read, "group": group, "aliases": aliases, "metavar": metavar}
    return field(default=default, metadata={**about, "several": several, "least": least, "shapes": shapes_vectors})


_LAST_IN_HEADERS = 0xFF
"""The last letter of Latin-1, in which most clients write headers."""
_MODEL = "File paths: the model"
_BERT = "BERT: features and pooling"
_SERVING = "Serving: ports, workers and devices"
_HTTP = "HTTP: with -http_port"
_RAY = "Workers on a Ray cluster"


@dataclass(frozen=True)
class ServerConfig:
    """Every option of the server. Names and defaults are those of 1.10; the metadata feeds parser and help."""

    model_dir: str = _option(
        "", "folder of the model: a TensorFlow checkpoint of BERT or a Hugging Face folder", group=_MODEL
    )
    tuned_model_dir: str | None = _option(
        None, "folder of a fine-tuned checkpoint, whose weights are used instead", group=_MODEL
    )
    ckpt_name: str = _option("bert_model.ckpt", "file name of the checkpoint", group=_MODEL)
    config_name: str = _option("bert_config.json", "file name of the model's JSON config", group=_MODEL)
    model_name: str | None = _option(
        None, "what the model is called in /v1/models and the status (default: its folder's name, or what a folder of "
        "a general name says)", readable_name, group=_MODEL,
    )  # fmt: skip
    graph_tmp_dir: str | None = _option(None, "folder for the optimized graph, a temporary file", group=_MODEL)

    max_seq_len: int | None = _option(
        25, "longest sequence in tokens, longer ones are cut on the right; NONE: as long as the longest in a batch",
        sequence_length, group=_BERT, shapes_vectors=True,
    )  # fmt: skip
    cased_tokenization: bool = _option(
        False, "keep case and accents, as cased models need it", group=_BERT, shapes_vectors=True
    )
    pooling_layer: tuple[int, ...] = _option(
        (-2,),
        "encoder layer(s) to pool, -1 is the last; several are concatenated",
        negative,
        group=_BERT,
        several=True,
        shapes_vectors=True,
    )
    pooling_strategy: PoolingStrategy = _option(
        PoolingStrategy.REDUCE_MEAN, f"one of {', '.join(PoolingStrategy.__members__)}", PoolingStrategy.from_name,
        group=_BERT, metavar="STRATEGY", shapes_vectors=True,
    )  # fmt: skip
    mask_cls_sep: bool = _option(
        False, "hide [CLS] and [SEP] from attention and pooling", group=_BERT, shapes_vectors=True
    )
    no_special_token: bool = _option(
        False, "add no [CLS] and [SEP] to tokenized texts", group=_BERT, shapes_vectors=True
    )
    special_tokens: str = _option(
        "folder", "what a special token is that is written in a text, such as [SEP]: folder: what the tokenizer of the "
        "model's folder makes of it; text: text", one_of(SPECIAL_TOKENS), group=_BERT, shapes_vectors=True,
    )  # fmt: skip
    show_tokens_to_client: bool = _option(False, "send the tokens to clients that ask for them", group=_BERT)
    no_position_embeddings: bool = _option(False, "leave out the position embeddings", group=_BERT, shapes_vectors=True)
    num_labels: int = _option(
        2,
        "number of classes, for CLASSIFICATION and LOGITS (a fine-tuned model's config.json may name them)",
        integer(1),
        group=_BERT,
        shapes_vectors=True,
    )
    fixed_embed_length: bool = _option(
        False, "with pooling NONE: pad every result to the model's longest sequence", group=_BERT, shapes_vectors=True
    )
    normalize: bool = _option(
        False,
        "scale each vector to length 1 (a sentence-transformers folder may ask for it)",
        group=_BERT,
        shapes_vectors=True,
    )
    no_normalize: bool = _option(False, "do not, even where the folder asks for it", group=_BERT)
    prompt: str | None = _option(
        None,
        "name of the model's prompt that is put before each text; '' for none (default: as its folder says)",
        group=_BERT,
        metavar="NAME",
        shapes_vectors=True,
    )

    port: int = _option(5555, "port that takes requests", port_number, group=_SERVING, aliases=("port_in", "port_data"))
    port_out: int = _option(5556, "port that publishes results", port_number, group=_SERVING, aliases=("port_result",))
    num_worker: int = _option(
        1, "number of workers, each a process with a GPU or a share of the CPU", integer(1), group=_SERVING
    )
    max_worker: int | None = _option(
        None, "most workers: so many there are while requests would wait longer than -scale_up_wait (default: no more "
        "than -num_worker)", integer(1), group=_SERVING,
    )  # fmt: skip
    scale_up_wait: int = _option(
        2, "seconds that requests may have to wait before workers are added, up to -max_worker", integer(1),
        group=_SERVING,
    )  # fmt: skip
    scale_down_idle: int = _option(
        60, "seconds without work after which a worker beyond -num_worker is released", integer(1), group=_SERVING
    )
    max_batch_size: int = _option(256, "most texts in one batch of a worker", integer(1), group=_SERVING)
    max_batch_tokens: int | None = _option(
        None, "most tokens in one batch of a worker, padding included (default: 1024 on CPU, 16384 on GPU)",
        integer(1), group=_SERVING,
    )  # fmt: skip
    priority_batch_size: int = _option(
        16, "requests of at most this many texts jump the queue", integer(0), group=_SERVING
    )
    cpu: bool = _option(False, "run on the CPU, even where there is a GPU", group=_SERVING)
    xla: bool = _option(False, "compile the graph with XLA", group=_SERVING)
    fp16: bool = _option(False, "compute and reply in half precision", group=_SERVING, shapes_vectors=True)
    dtype: str = _option(
        "float32", "precision of the matrix products, replies stay float32; auto: the fastest that keeps each vector's "
        "cosine to float32 above 0.9998", one_of(DTYPES), group=_SERVING, shapes_vectors=True,
    )  # fmt: skip
    gpu_memory_fraction: float = _option(0.5, "share of a GPU's memory for each worker", fraction, group=_SERVING)
    device_map: tuple[int, ...] = _option(
        (), "GPUs to use, by id; shared if there are more workers", integer(0), group=_SERVING, several=True, least=0
    )
    prefetch_size: int = _option(10, "micro-batches of work kept waiting at each worker", integer(1), group=_SERVING)
    start_timeout: int = _option(
        600, "seconds that the start may take before it counts as failed", integer(1), group=_SERVING
    )
    result_ttl: int = _option(
        60, "seconds that a result is kept for a client that is not listening", integer(1), group=_SERVING
    )
    heartbeat_timeout: int = _option(
        15, "seconds without a sign of life after which a child process is killed and started again",
        integer(4), group=_SERVING,
    )  # fmt: skip
    compute_timeout: int = _option(
        60, "seconds that one micro-batch may run before its worker counts as hung and is replaced; more where "
        "-max_batch_tokens takes longer. Starting and compiling do not count", integer(1), group=_SERVING,
    )  # fmt: skip
    drain_timeout: int = _option(
        30, "seconds that accepted requests may take to finish when the server is told to stop", integer(0),
        group=_SERVING,
    )  # fmt: skip
    max_queue: int = _option(
        1_000_000, "most texts that may be open at once; more requests are told to come again later", integer(1),
        group=_SERVING,
    )  # fmt: skip
    max_queue_mb: int = _option(1024, "most megabytes of texts that may be open at once", integer(1), group=_SERVING)
    max_msg_size: int = _option(
        256, "most megabytes of one message; it is refused, and who sends a larger frame is disconnected", integer(1),
        group=_SERVING,
    )  # fmt: skip
    max_answer_mb: int = _option(
        4096, "most megabytes of vectors that one request may ask for; twice as many may be open at once", integer(1),
        group=_SERVING,
    )  # fmt: skip
    max_clients: int = _option(10_000, "most clients that may be connected at once", integer(1), group=_SERVING)
    curve_dir: str | None = _option(
        None, "folder with keys: only clients with one may connect, and traffic is encrypted; see bert-serving-keygen",
        group=_SERVING,
    )  # fmt: skip
    host: str = _option(
        "*", "address to listen on; * is all interfaces by IPv4, :: all of them by IPv6 and IPv4", group=_SERVING
    )
    terminate: str = _option(
        "local", "who may stop the server by bert-serving-terminate: local (this machine, and keys that begin with "
        "admin), key (those keys alone), never (nobody) or anywhere. A proxy on this machine makes strangers look "
        "local: take key or never behind one", one_of(TERMINATE), group=_SERVING,
    )  # fmt: skip
    allow_remote_terminate: bool = _option(False, "the old name of -terminate anywhere", group=_SERVING)
    http_port: int | None = _option(
        None, "port for HTTP requests: JSON, the OpenAI API, dashboard, metrics", port_number, group=_HTTP
    )
    http_host: str = _option("0.0.0.0", "address to listen on; :: is all interfaces by IPv6 and IPv4", group=_HTTP)
    http_max_connect: int = _option(
        10, "most requests at work at once; a hundred times as many wait, more are told to come again", integer(1),
        group=_HTTP,
    )  # fmt: skip
    http_max_body: int = _option(16, "most megabytes of one request", integer(1), group=_HTTP)
    http_max_bodies: int = _option(
        128, "most megabytes of all requests that come, wait or are at work; more are told to come again", integer(1),
        group=_HTTP,
    )  # fmt: skip
    http_max_answers: int = _option(
        1024, "most megabytes of vectors in all answers at once; requests for more are told to come again",
        integer(1), group=_HTTP,
    )  # fmt: skip
    http_timeout: int = _option(60, "seconds that a request may take", integer(1), group=_HTTP)
    http_api_key: str | None = _option(
        None, "key that requests must carry as Bearer; better given as BERT_SERVING_HTTP_API_KEY", group=_HTTP
    )  # fmt: skip
    cors: str = _option("*", "origins whose pages may call, with commas between them; *: all", group=_HTTP)
    verbose: bool = _option(False, "log more, with tracebacks", group=_SERVING)
    min_worker: int | None = _option(
        None, "begin with so few workers if the others are not ready within -start_timeout", integer(1),
        group=_SERVING,
    )  # fmt: skip
    launcher: str = _option("local", "where workers run: local or ray", one_of(LAUNCHERS), group=_RAY)
    ray_address: str = _option("auto", "of the Ray cluster; auto: the one that this machine is part of", group=_RAY)
    ray_resources: tuple[str, ...] = _option(
        (), "what Ray has to find for each worker, NAME=NUMBER each (default: GPU=1, or CPU=1 with -cpu)", resource,
        group=_RAY, several=True, least=0,
    )  # fmt: skip

    engine: str = "bert_serving.server.engine.tensorflow_engine"
    """Module that does the encoding, see `engine/contract.py`; tests and benchmarks put another one here."""
    pooled_beside: tuple[PoolingStrategy, ...] = ()
    """Strategies whose results follow that of -pooling_strategy in a vector; only a model's folder sets them."""
    prompts: tuple[tuple[str, str], ...] = ()
    """Name and text of each prompt that the model has; the engine's `resolve` fills it in."""
    include_prompt: bool = True
    """Whether pooling looks at the tokens of a prompt; a model's folder may say that it does not."""
    max_positions: int | None = None
    """The longest sequence that the model can take; the engine's `resolve` fills it in."""
    vector_bytes: int = 0
    """Of one vector in an answer, of a text or of a token; the engine's `resolve` fills it in, 0 if it does not."""
    given: frozenset[str] = frozenset()
    """Names of the options that somebody set: what a model folder brings along never overrides these."""

    def __post_init__(self) -> None:
        if not self.model_dir:
            raise ConfigError("-model_dir is required: the folder of a model")
        self._settle_model_name()
        if self.port == self.port_out:
            raise ConfigError(f"-port and -port_out are both {self.port}: they must differ")
        if self.normalize and self.no_normalize:
            raise ConfigError("-normalize and -no_normalize exclude each other")
        self._settle_terminate()
        if self.http_port in (self.port, self.port_out):
            raise ConfigError(f"-http_port is {self.http_port}, as another port is: they must differ")
        if self.http_port is not None and (missing := _missing_for_http()):
            raise ConfigError(f"-http_port needs {missing}: install it by pip install './server[http]'")
        if self.http_api_key is not None:
            object.__setattr__(self, "http_api_key", _checked_key(self.http_api_key))
        if self.launcher == "ray" and find_spec("ray") is None:
            raise ConfigError("-launcher ray needs ray: install it by pip install './server[ray]'")
        if self.ray_address.startswith("ray://"):
            raise ConfigError(
                f"-ray_address {self.ray_address}: a server has to be part of its cluster; join it by `ray start "
                "--address HOST:6379` and leave -ray_address out"
            )
        if self.min_worker is not None and self.min_worker > self.num_worker:
            raise ConfigError(f"-min_worker {self.min_worker} is above -num_worker {self.num_worker}")
        if self.most_workers < self.num_worker:
            raise ConfigError(f"-max_worker {self.max_worker} is below -num_worker {self.num_worker}")
        if self.fp16 and self.dtype not in ("float32", "float16"):
            raise ConfigError(f"-fp16 and -dtype {self.dtype} exclude each other")
        if self.fixed_embed_length and self.pooling_strategy is not PoolingStrategy.NONE:
            raise ConfigError("-fixed_embed_length pads token vectors: it needs -pooling_strategy NONE")
        if len(set(self.pooling_layer)) < len(self.pooling_layer):
            raise ConfigError(f"-pooling_layer names a layer twice: {' '.join(map(str, self.pooling_layer))}")

    def _settle_model_name(self) -> None:
        if self.model_name is not None:
            try:
                object.__setattr__(self, "model_name", readable_name(self.model_name))
            except ValueError as error:
                raise ConfigError(f"-model_name {error}") from None

    def _settle_terminate(self) -> None:
        if self.terminate not in TERMINATE:
            raise ConfigError(f"-terminate must be one of {', '.join(TERMINATE)}, not {self.terminate!r}")
        is_chosen = self.terminate != "local" or "terminate" in self.given
        if self.allow_remote_terminate and is_chosen and self.terminate != "anywhere":
            raise ConfigError(
                f"-allow_remote_terminate means -terminate anywhere, and not {self.terminate}: leave it out"
            )
        if self.allow_remote_terminate:
            object.__setattr__(self, "terminate", "anywhere")
        if self.terminate == "key" and self.curve_dir is None:
            raise ConfigError("-terminate key needs keys: -curve_dir says where they are")

    @property
    def most_workers(self) -> int:
        """How many there may ever be."""
        return self.num_worker if self.max_worker is None else self.max_worker

    @property
    def poolings(self) -> tuple[PoolingStrategy, ...]:
        """Those whose results make a vector, side by side."""
        return (self.pooling_strategy, *self.pooled_beside)

    @property
    def prompt_text(self) -> str:
        """What is put before each text that comes as a string."""
        return "" if self.prompt is None else dict(self.prompts).get(self.prompt, "")

    @property
    def pad_to(self) -> int | None:
        """The T of `[B, T, D]` replies; None for the longest row of each request, or where there is no T."""
        if self.pooling_strategy is not PoolingStrategy.NONE:
            return None
        return self.max_positions if self.fixed_embed_length else self.max_seq_len

    def row_bytes(self, characters: int) -> int:
        """What a text of so many characters takes in an answer, at most; 0 if that is not known."""
        if self.pooling_strategy is not PoolingStrategy.NONE:
            return self.vector_bytes
        tokens = len(self.prompt_text) + characters + 2  # [CLS] and [SEP]
        return self.vector_bytes * (self.pad_to or min(tokens, self.max_positions or tokens))

    def with_model_defaults(self, **defaults: Any) -> ServerConfig:
        """This config with what the model's folder suggests, where nobody said otherwise."""
        return replace(self, **{name: value for name, value in defaults.items() if name not in self.given})

    def as_status(self) -> dict[str, Any]:
        """Every argument as 1.10 shows it in config and status: plain JSON values, strategies as numbers; no secret.

        And what the model's folder adds to them, `prompts` and `pooled_beside`.
        """
        shown = self.without_secrets()
        values = {option.name: _plain(getattr(shown, option.name)) for option in fields(self) if option.metadata}
        return {**values, "pooled_beside": _plain(self.pooled_beside), "prompts": dict(self.prompts)}

    def vector_options(self) -> dict[str, Any]:
        """The options that shape vectors and are not at their defaults, as plain JSON values."""
        values = {one: getattr(self, one.name) for one in fields(self) if one.metadata.get("shapes")}
        return {one.name: _plain(value) for one, value in values.items() if value != one.default}

    def without_secrets(self) -> ServerConfig:
        """This config as anybody may see it."""
        return self if self.http_api_key is None else replace(self, http_api_key="(set)")

    def to_json(self) -> str:
        """For a child process."""
        return json.dumps({name: _plain(value) for name, value in asdict(self).items()})

    @staticmethod
    def from_json(text: str) -> ServerConfig:
        """What `to_json` wrote."""
        return ServerConfig.from_mapping(json.loads(text))

    @staticmethod
    def from_mapping(values: Mapping[str, Any]) -> ServerConfig:
        """A config from plain values, such as those of parsed arguments; what is no option is left out."""
        known = {option.name for option in fields(ServerConfig)}
        kept = {name: value for name, value in values.items() if name in known}
        kept["given"] = frozenset(kept.get("given", kept))
        for name in ("pooling_layer", "device_map", "ray_resources"):
            if name in kept:
                kept[name] = tuple(kept[name])
        if "pooling_strategy" in kept:
            kept["pooling_strategy"] = _strategy(kept["pooling_strategy"])
        kept["prompts"] = tuple((name, text) for name, text in kept.get("prompts", ()))
        kept["pooled_beside"] = tuple(_strategy(one) for one in kept.get("pooled_beside", ()))
        return ServerConfig(**kept)


def _checked_key(text: str) -> str:
    """Without the line end that files bring along. Raises ConfigError for one that any request could carry, or none."""
    key = text.strip()
    if not key:
        raise ConfigError(
            "-http_api_key is empty: give a key, or leave it and BERT_SERVING_HTTP_API_KEY away to ask for none"
        )
    for place, letter in enumerate(key):
        if not letter.isprintable() or ord(letter) > _LAST_IN_HEADERS:
            raise ConfigError(
                f"-http_api_key has U+{ord(letter):04X} at its character {place + 1} of {len(key)}, which the header "
                "of a request cannot carry: take a key of ASCII letters, digits and signs"
            )
    return key


def _missing_for_http() -> str:
    needed = ("fastapi", "uvicorn", "orjson", "prometheus_client", "fastapi_offline")
    return ", ".join(name for name in needed if find_spec(name) is None)


def _strategy(value: Any) -> PoolingStrategy:
    return PoolingStrategy.from_name(value) if isinstance(value, str) else PoolingStrategy(value)


def _plain(value: Any) -> Any:
    if isinstance(value, PoolingStrategy):
        return int(value)
    if isinstance(value, (tuple, frozenset)):
        return sorted(value) if isinstance(value, frozenset) else [_plain(one) for one in value]
    return value
