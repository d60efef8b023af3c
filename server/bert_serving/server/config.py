"""The server's one frozen configuration: every option, its default, its help and its check, in one table.

The command line (`options.py`), the environment and Python all end in a `ServerConfig`; everything after that point
reads it and nothing changes it. Child processes get it as JSON.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import Field, asdict, dataclass, field, fields, replace
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
from bert_serving.server.poolings import PoolingStrategy


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What the rest of the server has to know of a model.

    It has so many `layers`, of which the lowest `kept_layers` can be pooled; vectors of a token have `hidden` numbers.
    `pooler` and `labels` (their number) tell whether those parts on the last layer are kept. `dense` are the widths
    that the layers after the pooling take and make. `normalizes`: the folder wants vectors of texts of length 1.
    """

    layers: int = 0
    kept_layers: int = 0
    hidden: int = 0
    pooler: bool = False
    labels: int = 0
    dense: tuple[int, int] | None = None
    normalizes: bool = False


DTYPES = ("float32", "bfloat16", "float16", "int8", "auto")
SPECIAL_TOKENS = ("folder", "text")
TERMINATE = ("local", "key", "never", "anywhere")
TOKEN_IDS = ("refuse", "model", "cl100k")
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
        "", "folder with the model: a Google BERT checkpoint or a Hugging Face model", group=_MODEL
    )
    tuned_model_dir: str | None = _option(
        None, "folder with a fine-tuned checkpoint, whose weights replace those in -model_dir", group=_MODEL
    )
    ckpt_name: str = _option("bert_model.ckpt", "file name of the checkpoint", group=_MODEL)
    config_name: str = _option("bert_config.json", "file name of the model's JSON config", group=_MODEL)
    model_name: str | None = _option(
        None, "name of the model in /v1/models and in the status (default: taken from the model's folder)",
        readable_name, group=_MODEL,
    )  # fmt: skip
    graph_tmp_dir: str | None = _option(None, "folder for the optimized graph, a temporary file", group=_MODEL)

    max_seq_len: int | None = _option(
        25, "maximum sequence length in tokens; longer texts are cut on the right; NONE: as long as the longest text "
        "in the batch", sequence_length, group=_BERT, shapes_vectors=True,
    )  # fmt: skip
    cased_tokenization: bool = _option(
        False, "keep case and accents, as cased models need", group=_BERT, shapes_vectors=True
    )
    pooling_layer: tuple[int, ...] = _option(
        (-2,),
        "encoder layers to pool; -1 is the last; several are concatenated",
        negative,
        group=_BERT,
        several=True,
        shapes_vectors=True,
    )
    pooling_strategy: PoolingStrategy = _option(
        PoolingStrategy.REDUCE_MEAN, f"one of {', '.join(PoolingStrategy.__members__)}", PoolingStrategy.from_name,
        group=_BERT, metavar="STRATEGY", shapes_vectors=True,
    )  # fmt: skip
    keep_layers: bool = _option(
        False, "keep all layers and the pooler in memory, so that requests can choose them", group=_BERT
    )
    mask_cls_sep: bool = _option(
        False, "hide [CLS] and [SEP] from attention and pooling", group=_BERT, shapes_vectors=True
    )
    no_special_token: bool = _option(
        False, "do not add [CLS] and [SEP] to tokenized texts", group=_BERT, shapes_vectors=True
    )
    special_tokens: str = _option(
        "folder", "how to read a special token, such as [SEP], that occurs in a text; folder: as the model's own "
        "tokenizer does; text: as ordinary text", one_of(SPECIAL_TOKENS), group=_BERT,
        metavar="|".join(SPECIAL_TOKENS), shapes_vectors=True,
    )  # fmt: skip
    show_tokens_to_client: bool = _option(False, "send the tokens to clients that ask for them", group=_BERT)
    no_position_embeddings: bool = _option(
        False, "do not use the position embeddings", group=_BERT, shapes_vectors=True
    )
    num_labels: int = _option(
        2,
        "number of classes, for CLASSIFICATION and LOGITS (a fine-tuned model's config.json may name them)",
        integer(1),
        group=_BERT,
        shapes_vectors=True,
    )
    fixed_embed_length: bool = _option(
        False, "with pooling NONE: pad every result to the longest sequence the model takes", group=_BERT,
        shapes_vectors=True,
    )  # fmt: skip
    normalize: bool = _option(
        False,
        "scale each vector to length 1 (a sentence-transformers folder may turn this on)",
        group=_BERT,
        shapes_vectors=True,
    )
    no_normalize: bool = _option(False, "never normalize, even if the model folder asks for it", group=_BERT)
    prompt: str | None = _option(
        None,
        "name of the model's prompt to put before each text; '' for none (default: as the model folder says)",
        group=_BERT,
        metavar="NAME",
        shapes_vectors=True,
    )

    port: int = _option(5555, "port that takes requests", port_number, group=_SERVING, aliases=("port_in", "port_data"))
    port_out: int = _option(5556, "port that publishes results", port_number, group=_SERVING, aliases=("port_result",))
    num_worker: int = _option(
        1, "number of workers; each is a process with a GPU or a share of the CPU", integer(1), group=_SERVING
    )
    max_worker: int | None = _option(
        None, "maximum number of workers, reached while requests would wait longer than -scale_up_wait (default: "
        "-num_worker)", integer(1), group=_SERVING,
    )  # fmt: skip
    min_worker: int | None = _option(
        None, "start serving with this many workers if the others are not ready within -start_timeout", integer(1),
        group=_SERVING,
    )  # fmt: skip
    scale_up_wait: int = _option(
        2, "expected wait, in seconds, above which workers are added, up to -max_worker", integer(1), group=_SERVING
    )
    scale_down_idle: int = _option(
        60, "idle time, in seconds, after which a worker beyond -num_worker is released", integer(1), group=_SERVING
    )
    max_batch_size: int = _option(256, "maximum texts in one batch of a worker", integer(1), group=_SERVING)
    max_batch_tokens: int | None = _option(
        None, "maximum tokens in one batch of a worker, including padding (default: 1024 on CPU, 16384 on GPU)",
        integer(1), group=_SERVING,
    )  # fmt: skip
    priority_batch_size: int = _option(
        16, "requests of at most this many texts jump the queue", integer(0), group=_SERVING
    )
    cpu: bool = _option(False, "run on the CPU, even if there is a GPU", group=_SERVING)
    xla: bool = _option(False, "compile the graph with XLA", group=_SERVING)
    fp16: bool = _option(False, "compute and reply in half precision", group=_SERVING, shapes_vectors=True)
    dtype: str = _option(
        "float32", "precision of the matrix products (replies stay float32); auto: the fastest that keeps each "
        "vector's cosine to float32 above 0.9998; int8: less exact, the fastest on CPUs with AVX-VNNI, AVX512-VNNI or "
        "AMX-INT8, the only ones that take it", one_of(DTYPES), group=_SERVING, metavar="|".join(DTYPES),
        shapes_vectors=True,
    )  # fmt: skip
    gpu_memory_fraction: float = _option(0.5, "fraction of a GPU's memory for each worker", fraction, group=_SERVING)
    device_map: tuple[int, ...] = _option(
        (), "ids of the GPUs to use; shared if there are more workers", integer(0), group=_SERVING, several=True,
        least=0, metavar="ID",
    )  # fmt: skip
    prefetch_size: int = _option(10, "micro-batches queued at each worker", integer(1), group=_SERVING)
    start_timeout: int = _option(
        600, "seconds after which a start that is not ready has failed", integer(1), group=_SERVING
    )
    result_ttl: int = _option(
        60, "seconds to keep a result for a client that is not listening", integer(1), group=_SERVING
    )
    heartbeat_timeout: int = _option(
        15, "seconds of silence after which a child process is killed and restarted", integer(4), group=_SERVING
    )
    compute_timeout: int = _option(
        60, "maximum seconds to compute one micro-batch, after which its worker counts as hung and is replaced; raise "
        "it if -max_batch_tokens makes batches slower. Starting and compiling do not count", integer(1), group=_SERVING,
    )  # fmt: skip
    drain_timeout: int = _option(
        30, "seconds that accepted requests have to finish when the server is stopped", integer(0), group=_SERVING
    )
    max_queue: int = _option(
        1_000_000, "maximum texts in progress; further requests must retry later", integer(1), group=_SERVING
    )
    max_queue_mb: int = _option(1024, "maximum megabytes of texts in progress", integer(1), group=_SERVING)
    max_msg_size: int = _option(
        256, "maximum megabytes of one message; a larger one is refused, and a client that sends a larger frame is "
        "disconnected", integer(1), group=_SERVING,
    )  # fmt: skip
    max_answer_mb: int = _option(
        4096, "maximum megabytes of vectors in the answer to one request; twice as many may be in progress at once",
        integer(1), group=_SERVING,
    )  # fmt: skip
    max_clients: int = _option(10_000, "maximum number of connected clients", integer(1), group=_SERVING)
    curve_dir: str | None = _option(
        None, "folder with keys: only clients with a key may connect, and traffic is encrypted; see "
        "bert-serving-keygen", group=_SERVING,
    )  # fmt: skip
    host: str = _option(
        "*", "address to listen on; * for all IPv4 interfaces, :: for all IPv6 and IPv4 interfaces", group=_SERVING
    )
    terminate: str = _option(
        "local", "who may stop the server with bert-serving-terminate; local: this machine, and keys that begin with "
        "admin; key: those keys only; never: nobody; anywhere: everybody. Behind a proxy on this machine every client "
        "looks local: use key or never there", one_of(TERMINATE), group=_SERVING, metavar="|".join(TERMINATE),
    )  # fmt: skip
    allow_remote_terminate: bool = _option(False, "old name of -terminate anywhere", group=_SERVING)
    http_port: int | None = _option(
        None, "port for HTTP: JSON, the OpenAI API, the dashboard and metrics", port_number, group=_HTTP
    )
    http_host: str = _option("0.0.0.0", "address to listen on; :: for all IPv6 and IPv4 interfaces", group=_HTTP)
    http_max_connect: int = _option(
        10, "maximum requests encoded at once; a hundred times as many may wait, and further ones must retry later",
        integer(1), group=_HTTP,
    )  # fmt: skip
    http_max_body: int = _option(16, "maximum megabytes of one request", integer(1), group=_HTTP)
    http_max_bodies: int = _option(
        128, "maximum megabytes of all requests in progress; further requests must retry later", integer(1),
        group=_HTTP,
    )  # fmt: skip
    http_max_answers: int = _option(
        1024, "maximum megabytes of vectors in all answers in progress; further requests must retry later",
        integer(1), group=_HTTP,
    )  # fmt: skip
    http_timeout: int = _option(60, "maximum seconds for one request", integer(1), group=_HTTP)
    http_api_key: str | None = _option(
        None, "key that requests must send as a Bearer token; better set as BERT_SERVING_HTTP_API_KEY", group=_HTTP,
        metavar="KEY",
    )  # fmt: skip
    http_api_keys: str | None = _option(
        None, "TOML file with, for each name, the SHA-256 of a key and how many tokens a minute it may use; reread "
        "when it changes", group=_HTTP, metavar="FILE",
    )  # fmt: skip
    openai_token_ids: str = _option(
        "refuse", "how to treat token ids in /v1/embeddings; refuse: refuse them; model: they are from this model's "
        "vocabulary; cl100k: they are OpenAI's, as LangChain sends them, and the file in TIKTOKEN_CACHE_DIR turns them "
        "back into text", one_of(TOKEN_IDS), group=_HTTP, metavar="|".join(TOKEN_IDS),
    )  # fmt: skip
    cors: str = _option("*", "origins of pages that may call, separated by commas; *: all", group=_HTTP)
    verbose: bool = _option(False, "log more, with all arguments and tracebacks", group=_SERVING)
    launcher: str = _option("local", "where workers run", one_of(LAUNCHERS), group=_RAY, metavar="|".join(LAUNCHERS))
    ray_address: str = _option(
        "auto", "address of the Ray cluster; auto: the one this machine belongs to", group=_RAY, metavar="ADDRESS"
    )
    ray_resources: tuple[str, ...] = _option(
        (), "resources that Ray must find for each worker (default: GPU=1, or CPU=1 with -cpu)", resource,
        group=_RAY, several=True, least=0, metavar="NAME=NUMBER",
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
    facts: ModelFacts = ModelFacts()
    """What the model is; the engine's `resolve` fills it in."""
    labels: tuple[str, ...] = ()
    """Names of the labels of a classifier's head; the engine's `resolve` fills them in."""
    given: frozenset[str] = frozenset()
    """Names of the options that somebody set: what a model folder brings along never overrides these."""

    def __post_init__(self) -> None:
        if not self.model_dir:
            raise ConfigError("-model_dir is required: the folder of a model")
        self._settle_model_name()
        if self.port == self.port_out:
            raise ConfigError(f"-port and -port_out are both {self.port}: they must differ")
        if self.normalize and self.no_normalize:
            raise ConfigError("-normalize and -no_normalize cannot be combined")
        self._settle_terminate()
        if self.http_port in (self.port, self.port_out):
            raise ConfigError(f"-http_port and another port are both {self.http_port}: they must differ")
        if self.http_port is not None and (missing := _missing_for_http()):
            raise ConfigError(f"-http_port needs {missing}: install it with pip install 'bert-serving-server[http]'")
        if self.http_api_key is not None:
            object.__setattr__(self, "http_api_key", _checked_key(self.http_api_key))
        if self.openai_token_ids not in TOKEN_IDS:
            raise ConfigError(f"-openai_token_ids must be one of {', '.join(TOKEN_IDS)}, not {self.openai_token_ids!r}")
        if self.launcher == "ray" and find_spec("ray") is None:
            raise ConfigError("-launcher ray needs ray: install it with pip install 'bert-serving-server[ray]'")
        if self.ray_address.startswith("ray://"):
            raise ConfigError(
                f"-ray_address {self.ray_address}: the server must be part of the cluster: join it with `ray "
                "start --address HOST:6379` and omit -ray_address"
            )
        if self.min_worker is not None and self.min_worker > self.num_worker:
            raise ConfigError(f"-min_worker {self.min_worker} is above -num_worker {self.num_worker}")
        if self.most_workers < self.num_worker:
            raise ConfigError(f"-max_worker {self.max_worker} is below -num_worker {self.num_worker}")
        if self.fp16 and self.dtype not in ("float32", "float16"):
            raise ConfigError(f"-fp16 and -dtype {self.dtype} cannot be combined")
        if self.dtype == "int8" and self.xla:
            raise ConfigError("-xla and -dtype int8 cannot be combined: XLA has no such products")
        if self.dtype == "int8" and not self.cpu:
            raise ConfigError("-dtype int8 is for CPUs: start with -cpu, or take -dtype auto")
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
                f"-allow_remote_terminate means -terminate anywhere, not {self.terminate}: omit one of them"
            )
        if self.allow_remote_terminate:
            object.__setattr__(self, "terminate", "anywhere")
        if self.terminate == "key" and self.curve_dir is None:
            raise ConfigError("-terminate key needs keys: give their folder with -curve_dir")

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
        return self.longest_padded if self.pooling_strategy is PoolingStrategy.NONE else None

    @property
    def longest_padded(self) -> int | None:
        """That T where vectors are those of tokens."""
        return self.max_positions if self.fixed_embed_length else self.max_seq_len

    def most_tokens(self, characters: int) -> int:
        """For how many tokens there is a vector in the answer to a text of so many characters, at most."""
        tokens = characters + 2  # [CLS] and [SEP]
        return self.longest_padded or min(tokens, self.max_positions or tokens)

    def with_model_defaults(self, **defaults: Any) -> ServerConfig:
        """This config with what the model's folder suggests, where nobody said otherwise."""
        return replace(self, **{name: value for name, value in defaults.items() if name not in self.given})

    def as_status(self) -> dict[str, Any]:
        """Every argument as 1.10 shows it in config and status: plain JSON values, strategies as numbers; no secret.

        And what the model's folder adds to them: `prompts`, `pooled_beside`, `labels`, `kept_layers` and
        `max_positions`.
        """
        shown = self.without_secrets()
        values = {option.name: _plain(getattr(shown, option.name)) for option in server_options()}
        beside = {
            "pooled_beside": _plain(self.pooled_beside),
            "prompts": dict(self.prompts),
            "labels": list(self.labels),
        }
        return {
            **values,
            **beside,
            "kept_layers": self.facts.kept_layers,
            "max_positions": self.max_positions,
        }

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
        kept["labels"] = tuple(kept.get("labels", ()))
        if facts := kept.get("facts"):
            kept["facts"] = ModelFacts(**{**facts, "dense": facts["dense"] and tuple(facts["dense"])})
        return ServerConfig(**kept)


def server_options() -> list[Field[Any]]:
    """The options of the server; the other fields of a config are found out."""
    return [option for option in fields(ServerConfig) if option.metadata]


def http_options() -> list[Field[Any]]:
    """The options of HTTP, which `bert-serving-gateway` takes too."""
    return [option for option in server_options() if option.metadata["group"] == _HTTP]


def _checked_key(text: str) -> str:
    """Without the line end that files bring along. Raises ConfigError for one that any request could carry, or none."""
    key = text.strip()
    if not key:
        raise ConfigError(
            "-http_api_key is empty: give a key, or unset it and BERT_SERVING_HTTP_API_KEY to require none"
        )
    for place, letter in enumerate(key):
        if not letter.isprintable() or ord(letter) > _LAST_IN_HEADERS:
            raise ConfigError(
                f"-http_api_key has U+{ord(letter):04X} at its character {place + 1} of {len(key)}, which an "
                "HTTP header cannot carry: use a key of ASCII letters, digits and punctuation"
            )
    return key


def _missing_for_http() -> str:
    toml = "tomllib" if sys.version_info >= (3, 11) else "tomli"
    needed = ("fastapi", "uvicorn", "orjson", "prometheus_client", "fastapi_offline", toml)
    return ", ".join(name for name in needed if find_spec(name) is None)


def _strategy(value: Any) -> PoolingStrategy:
    return PoolingStrategy.from_name(value) if isinstance(value, str) else PoolingStrategy(value)


def _plain(value: Any) -> Any:
    if isinstance(value, PoolingStrategy):
        return int(value)
    if isinstance(value, (tuple, frozenset)):
        return sorted(value) if isinstance(value, frozenset) else [_plain(one) for one in value]
    return value
