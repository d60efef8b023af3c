"""The demo, which people read and run first."""

from __future__ import annotations

import re
import runpy
import subprocess
import sys

from folders import EXAMPLE

DEMO = EXAMPLE / "demo.py"
demo = runpy.run_path(str(DEMO), run_name="demo")

PAGE = """\
# Title

A sentence. Another one: with a list!

```python
code = "is no sentence."
```

| a | table |
|---|---|

### How do I stop it?

By a command. Or `Ctrl-C`.

### And at once?\x20
"""


def test_questions_are_the_headings_of_the_third_level() -> None:
    assert demo["faq_questions"](PAGE) == ["How do I stop it?", "And at once?"]


def test_sentences_are_those_of_the_prose() -> None:
    assert demo["prose_sentences"](PAGE) == [
        "A sentence.",
        "Another one:",
        "with a list!",
        "By a command.",
        "Or `Ctrl-C`.",
    ]


def test_demo_answers() -> None:
    asked = [sys.executable, str(DEMO), "how do I make the service go away?"]
    shown = subprocess.run(asked, check=True, capture_output=True, text=True, timeout=240).stdout
    answer = shown[shown.index("\nhow do I make the service go away?") :].splitlines()[2]
    assert re.fullmatch(r"  0\.\d\d  How do I stop the server\?", answer), shown
    assert "sentences/s" in shown
