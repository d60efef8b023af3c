"""What a request wants from the model: its options, checked against what the model can do. Pure.

The ventilator asks before it accepts a request, and the worker when it computes. An option that a request does not set
has the value that the server was started with.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from bert_serving.client.errors import BadRequest, quoted
from bert_serving.client.options import NO_OPTIONS, Options
from bert_serving.client.views import View
from bert_serving.server.config import ServerConfig
from bert_serving.server.poolings import STRATEGIES, Needs, PoolingStrategy

_PROMPT_NAME = re.compile(r"[\w.-]+", re.ASCII)
"""What no text before others looks like: it would run into their first word."""


@dataclass(frozen=True, slots=True)
class PooledView:
    """A view with nothing left open: strategies whose results lie side by side, of which layers, and what follows."""

    poolings: tuple[PoolingStrategy, ...]
    layers: tuple[int, ...]
    normalize: bool
    dimensions: int | None = None

    @property
    def needs(self) -> Needs:
        """What it is computed from."""
        return STRATEGIES[self.poolings[0]].needs

    @property
    def is_pooled(self) -> bool:
        """Whether it gives one vector a text, and not one a token."""
        return self.poolings[0] is not PoolingStrategy.NONE

    def depth(self, layers: int) -> int:
        """How many of the model's `layers` have to be computed for it."""
        return layers + 1 + max(self.layers) if self.needs is Needs.TOKENS else layers

    @property
    def names(self) -> str:
        """Of its strategies, for people."""
        return " and ".join(one.name for one in self.poolings)


@dataclass(frozen=True, slots=True)
class TextOptions:
    """How texts become rows. `prompt` is the text before each of them; `names_prompt`: the request itself says so.

    For `truncate` see `options.TRUNCATE`. `is_pair`: each text is a pair. `offsets`: return the positions of tokens.
    """

    prompt: str = ""
    truncate: str = "right"
    is_pair: bool = False
    offsets: bool = False
    names_prompt: bool = False


@dataclass(frozen=True, slots=True)
class Wanted:
    """The options of a request, with nothing left open. The `views` are side by side in the answer."""

    views: tuple[PooledView, ...]
    texts: TextOptions

    @property
    def is_pooled(self) -> bool:
        """Whether its vectors are those of texts, and not of tokens."""
        return self.views[0].is_pooled


def default_view(config: ServerConfig) -> PooledView:
    """What a resolved config says."""
    return PooledView(config.poolings, config.pooling_layer, config.normalize)


def wanted_of(config: ServerConfig, options: Options) -> Wanted:
    """What these options mean for the model of a resolved config. Raises BadRequest that names the option."""
    if options.shaping() is NO_OPTIONS:
        return Wanted((default_view(config),), TextOptions(config.prompt_text))
    views = tuple(_view(config, view) for view in options.views) if options.views else (default_view(config),)
    if len({view.is_pooled for view in views}) > 1:
        raise BadRequest(
            "views: NONE returns a vector for each token, and cannot be combined with views that return one per text"
        )
    texts = TextOptions(
        config.prompt_text if options.prompt is None else _prompt(config, options.prompt),
        options.truncate or "right",
        bool(options.is_pair),
        bool(options.offsets),
        names_prompt=bool(options.prompt),
    )
    _check_truncate(texts, is_pooled=views[0].is_pooled)
    return Wanted(views, texts)


def _check_truncate(texts: TextOptions, *, is_pooled: bool) -> None:
    way = texts.truncate
    if way == "chunks" and not is_pooled:
        raise BadRequest("truncate 'chunks' averages vectors, but NONE returns one for each token: use 'right'")
    if texts.is_pair and way in ("left", "chunks"):
        raise BadRequest(f"truncate {way!r} is for single texts: for pairs use 'right', 'second' or 'error'")
    if way == "second" and not texts.is_pair:
        raise BadRequest("truncate 'second' cuts the second texts of pairs: set is_pair, or use 'right'")


def width_of(config: ServerConfig, view: PooledView) -> int:
    """How many numbers a vector of this view has."""
    facts = config.facts
    if view.needs is Needs.HEAD:
        return STRATEGIES[view.poolings[0]].labels or facts.labels or config.num_labels
    if facts.dense and view.is_pooled:
        return view.dimensions or facts.dense[1]
    return view.dimensions or pooled_width(config, view)


def row_bytes(config: ServerConfig, options: Options, characters: int) -> int:
    """What a text of so many characters takes in an answer, at most; 0 if that is not known. Raises BadRequest."""
    size = config.vector_bytes
    if config.pooling_strategy is not PoolingStrategy.NONE and options.shaping() is NO_OPTIONS:
        return size  # of nearly all requests
    wanted = wanted_of(config, options)
    if options.views:
        size = (2 if config.fp16 else 4) * sum(width_of(config, view) for view in wanted.views)
    return size if wanted.is_pooled else size * config.most_tokens(len(wanted.texts.prompt) + characters)


def config_with(config: ServerConfig, view: PooledView) -> ServerConfig:
    """The config of a server that was started with a view's options."""
    first, *others = view.poolings
    return replace(
        config,
        pooling_strategy=first,
        pooled_beside=tuple(others),
        pooling_layer=view.layers,
        normalize=view.normalize,
        no_normalize=False,
        fixed_embed_length=config.fixed_embed_length and not view.is_pooled,
    )


def pooled_width(config: ServerConfig, view: PooledView) -> int:
    """How many numbers come out of the pooling, of tokens or of the pooler."""
    widths = sum(STRATEGIES[one].widths for one in view.poolings)
    return config.facts.hidden * (widths * len(view.layers) if view.needs is Needs.TOKENS else 1)


def _prompt(config: ServerConfig, asked: str) -> str:
    prompts = dict(config.prompts)
    if asked in prompts:
        return prompts[asked]
    if _PROMPT_NAME.fullmatch(asked):
        known = f"it has {', '.join(prompts)}" if prompts else "it has none"
        raise BadRequest(
            f"prompt: the model has no prompt {quoted(asked)}: {known}; a prompt given as a text has a space in "
            "it, such as 'query: '"
        )
    return asked


# -- views ------------------------------------------------------------------------------------------------------------


def _view(config: ServerConfig, asked: View) -> PooledView:
    if not config.facts.layers:
        raise BadRequest("views: this server's engine returns only the vectors that it was started for")
    strategies = (_strategy(asked.pooling),) if asked.pooling is not None else config.poolings
    view = PooledView(
        strategies,
        config.pooling_layer if asked.layers is None else _layers(config, asked.layers),
        _normalize(config, strategies[0], asked.normalize),
        asked.dimensions,
    )
    _check_needs(config, view, asked)
    _check_width(config, view)
    return view


def _strategy(name: str) -> PoolingStrategy:
    try:
        return PoolingStrategy.from_name(name)
    except ValueError:
        known = ", ".join(PoolingStrategy.__members__)
        raise BadRequest(f"pooling must be one of {known}, not {quoted(name)}") from None


def _layers(config: ServerConfig, asked: Sequence[int]) -> tuple[int, ...]:
    facts = config.facts
    highest = facts.kept_layers - facts.layers - 1
    for layer in asked:
        if layer < -facts.layers:
            raise BadRequest(f"layers: the model's first layer is {-facts.layers}, so there is no {layer}")
        if layer > highest:
            raise BadRequest(
                f"layers: the server keeps none above {highest}, so not {layer}: start it with -keep_layers"
            )
    return tuple(asked)


def _normalize(config: ServerConfig, strategy: PoolingStrategy, asked: bool | None) -> bool:
    if asked is not None:
        return asked
    if STRATEGIES[strategy].needs is Needs.HEAD:
        return False
    if strategy is PoolingStrategy.NONE:
        return config.normalize and "normalize" in config.given  # a folder means the vectors of texts
    return config.normalize or config.facts.normalizes


def _check_needs(config: ServerConfig, view: PooledView, asked: View) -> None:
    facts, name = config.facts, view.poolings[0].name
    if view.needs is Needs.TOKENS:
        return
    if asked.layers is not None:
        raise BadRequest(f"layers: {name} always uses the last layer: omit layers")
    if view.needs is Needs.POOLER:
        if not facts.pooler:
            raise BadRequest(
                f"pooling: the server keeps no pooler for {name}: start it with -keep_layers, if the model has one"
            )
        return
    if not facts.labels:
        raise BadRequest(f"pooling: {name} needs a model with a classification head, which this server does not have")
    if view.normalize or view.dimensions is not None:
        option = "normalize" if view.normalize else "dimensions"
        raise BadRequest(f"{option}: {name} returns a score for each label, not a vector: omit it")
    if view.poolings[0] is PoolingStrategy.CLASSIFICATION and facts.labels == 1:
        raise BadRequest("pooling: CLASSIFICATION gives 1 for each text with a single label: use REGRESSION")
    if view.poolings[0] is PoolingStrategy.REGRESSION and facts.labels > 1:
        raise BadRequest(f"pooling: REGRESSION is for a single label, but the model has {facts.labels}")


def _check_width(config: ServerConfig, view: PooledView) -> None:
    dense, pooled = config.facts.dense, pooled_width(config, view)
    if dense and view.is_pooled and view.needs is not Needs.HEAD and dense[0] != pooled:
        raise BadRequest(
            f"views: {view.names} of the layers {', '.join(map(str, view.layers))} makes {pooled} numbers, but "
            f"the next layer of this model takes {dense[0]}"
        )
    widest = width_of(config, replace(view, dimensions=None))
    if view.dimensions is not None and view.dimensions > widest:
        raise BadRequest(f"dimensions: a vector has only {widest}, not {view.dimensions}")
