"""Cases that 1.10 computed, through a running server: tokens equal, vectors within 1e-5.

All go through the engine alone in tests/engine/test_engine_golden.py, and those of the defaults through a server in
test_whole_paths.py. Here are those in which more than the engine has a part: lengths, tokens, another checkpoint.
"""

from __future__ import annotations

import pytest
from command import Command
from folders import TINY, TUNED
from golden_cases import assert_answers

from bert_serving.client import BertClient

SETTINGS = [
    "-pooling_strategy NONE",
    "-pooling_strategy NONE -max_seq_len NONE",
    "-cased_tokenization -max_seq_len NONE",
    "-tuned_model_dir @TUNED -ckpt_name model.ckpt-343 -pooling_strategy CLS_POOLED",
]


@pytest.mark.parametrize("setting", SETTINGS)
def test_cases_of_this_setting(setting: str) -> None:
    options = setting.replace("@TUNED", str(TUNED)).split()
    with (
        Command("-model_dir", str(TINY), "-cpu", "-show_tokens_to_client", *options) as server,
        BertClient(**server.wait_until_ready().ports, check_length=False) as client,
    ):
        assert_answers(client, setting)
