"""The parser behind every command: names of options in all their spellings, variables of the environment, short help.

It knows no option itself; `options.py` adds them from the table in `config.py`.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import sys
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import Any, NoReturn

from bert_serving.server.version import __version__

ENVIRONMENT_PREFIX = "BERT_SERVING_"
_TRUE, _FALSE = ("1", "true", "yes", "on"), ("", "0", "false", "no", "off")
_UNSET = object()
_WIDEST_HELP = 110
_NAMES_WIDTH = 30

_KUBERNETES_NAME = re.compile(r"(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)(_\w+)?)")
_KUBERNETES_ADDRESS = re.compile(r"(tcp|udp|sctp)://")
"""A Kubernetes Service called bert-serving sets BERT_SERVING_PORT=tcp://.. and the like in the pods there."""


class HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """Each option once, by its name with one dash; any option may be written with two."""

    def __init__(self, prog: str) -> None:
        width = min(shutil.get_terminal_size().columns, _WIDEST_HELP) - 2
        super().__init__(prog, max_help_position=_NAMES_WIDTH, width=width)

    def _format_action_invocation(self, action: argparse.Action) -> str:
        names = [name for name in action.option_strings if not name.startswith("--")]
        if not names:
            return super()._format_action_invocation(action)
        shown = ", ".join(names)
        if action.nargs == 0:
            return shown
        value = self._metavar_formatter(action, action.dest.upper())(1)[0]
        return f"{shown} {value}{' ...' if action.nargs in ('+', '*') else ''}"


class OneLineParser(argparse.ArgumentParser):
    """Reports errors in one line, and remembers which options were given (`args.given`).

    `options_from_environment` are the names of options that a variable may give too: BERT_SERVING_NUM_WORKER=2 is as
    good as -num_worker 2, which wins where both are given. `known_variables` are names of other commands' options: a
    variable that is neither is warned about.
    """

    options_from_environment: frozenset[str] = frozenset()
    known_variables: frozenset[str] = frozenset()

    def __init__(self, **about: Any) -> None:
        super().__init__(add_help=False, formatter_class=HelpFormatter, **about)

    def add_help_and_version(self) -> None:
        """The options of every command, to be added last."""
        group = self.add_argument_group("Help")
        group.add_argument("-h", "-help", "--help", action="help", help="show this text and exit")
        group.add_argument(
            "-version", "--version", action="version", version=__version__, help="show the version and exit"
        )

    def error(self, message: str) -> NoReturn:
        sys.stderr.write(f"{self.prog}: error: {self.sentence(message)}\n")
        sys.exit(2)

    def sentence(self, message: str) -> str:
        """An error of argparse, with each option by one name, and what was meant where that can be guessed."""
        return f"{_plain(message)}{self._meant(message)}"

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        namespace = namespace or argparse.Namespace()
        dests = [a.dest for a in self._actions if a.default is not argparse.SUPPRESS and not hasattr(namespace, a.dest)]
        for dest in dests:
            setattr(namespace, dest, _UNSET)  # argparse leaves alone what is set: what stays was not given
        given = sys.argv[1:] if args is None else args
        known = [self._as_known(argument) for argument in given]
        _, rest = super().parse_known_args([*self._from_environment(), *known], namespace)
        namespace.given = {dest for dest in dests if getattr(namespace, dest) is not _UNSET}
        for dest in set(dests) - namespace.given:
            setattr(namespace, dest, self.get_default(dest))
        return namespace, rest

    # -- names of options ---------------------------------------------------------------------------------------------

    def _meant(self, message: str) -> str:
        """What an option may have meant that argparse does not know."""
        unknown = next((word for word in message.split() if word.startswith("-")), "").partition("=")[0]
        if not message.startswith("unrecognized arguments") or not unknown:
            return ""
        return _did_you_mean(_with_underscores(unknown), self._option_string_actions)

    def _as_known(self, argument: str) -> str:
        """An option with hyphens in its name by the name that it has here, with underscores."""
        name, sign, value = argument.partition("=")
        written = _with_underscores(name)
        is_ours = name not in self._option_string_actions and written in self._option_string_actions
        return f"{written}{sign}{value}" if is_ours else argument

    # -- variables of the environment ---------------------------------------------------------------------------------

    def _from_environment(self) -> list[str]:
        if not self.options_from_environment:
            return []
        self._warn_of_unknown_variables()
        arguments: list[str] = []
        for action in self._actions:
            variable = ENVIRONMENT_PREFIX + action.dest.upper()
            text = os.environ.get(variable)
            if text is None or action.dest not in self.options_from_environment or _KUBERNETES_ADDRESS.match(text):
                continue
            if action.nargs == 0:
                if text.lower() not in (*_TRUE, *_FALSE):
                    self.error(f"{variable} must be 1 or 0, not {text!r}")
                arguments += action.option_strings[:1] if text.lower() in _TRUE else []
            elif action.nargs is None:
                arguments.append(f"{action.option_strings[0]}={text}")
            else:
                arguments += [action.option_strings[0], *text.split()]
        return arguments

    def _warn_of_unknown_variables(self) -> None:
        names = {name.upper() for name in self.options_from_environment | self.known_variables}
        for variable, text in sorted(os.environ.items()):
            name = variable.removeprefix(ENVIRONMENT_PREFIX)
            is_ours = name != variable and name not in names
            if is_ours and not _KUBERNETES_NAME.fullmatch(name) and not _KUBERNETES_ADDRESS.match(text):
                meant = _did_you_mean(name, names, prefix=ENVIRONMENT_PREFIX)
                sys.stderr.write(f"{self.prog}: warning: {variable} is not an option and is ignored{meant}\n")


def _did_you_mean(word: str, known: Iterable[str], prefix: str = "") -> str:
    near = get_close_matches(word, list(known), n=1)
    return f": did you mean {prefix}{near[0]}?" if near else ""


def _plain(message: str) -> str:
    """An error of argparse, with each option by one name."""
    message = re.sub(r"^argument (-\w+)[/\w-]*:", r"\1:", message)
    required = re.fullmatch(r"the following arguments are required: (.*)", message)
    if required is None:
        return message
    names = [names.partition("/")[0] for names in required[1].split(", ")]
    return f"{' and '.join(names)} {'is' if len(names) == 1 else 'are'} required; see -help"


def _with_underscores(name: str) -> str:
    """The name of an option, its first hyphens aside."""
    bare = name.lstrip("-")
    return name[: len(name) - len(bare)] + bare.replace("-", "_")
