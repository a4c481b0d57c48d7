"""The classes of tools, by TRL's own eyes: its probe of schemas, and a step of ``GRPOTrainer``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from spec_envs.integrations import trl as ours
from tests.retail.tau3_files import entry, written

trl: Any = pytest.importorskip("trl", reason="needs trl: make hubs")
transformers: Any = pytest.importorskip("transformers")
tokenizers: Any = pytest.importorskip("tokenizers")
datasets: Any = pytest.importorskip("datasets")

pytestmark = [pytest.mark.hubs, pytest.mark.timeout(600), pytest.mark.filterwarnings("ignore")]


@pytest.mark.parametrize("name", ours.__all__)
def test_the_probe_reads_the_tools_as_they_are(name, tmp_path):
    env = getattr(ours, name)(**({"data": written(tmp_path, entry()), "split": None} if "Tau3" in name else {}))
    for schema in env._domain.schemas:
        function = schema["function"]
        read = transformers.utils.get_json_schema(getattr(env, function["name"]))["function"]
        assert (read["name"], read["description"]) == (function["name"], function["description"])
        properties = function["parameters"]["properties"]
        assert list(read["parameters"]["properties"]) == list(properties)
        for each, told in read["parameters"]["properties"].items():
            assert told["type"] == properties[each]["type"] and told["description"] == properties[each]["description"]
            assert told.get("enum") == properties[each].get("enum")


def tokenizer() -> Any:
    """A tokenizer of bytes, made here, with a chat template that comes with TRL."""
    splits, models, decoders = tokenizers.pre_tokenizers.ByteLevel, tokenizers.models, tokenizers.decoders
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    vocabulary = {text: number for number, text in enumerate([*special, *sorted(splits.alphabet())])}
    made = tokenizers.Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    made.pre_tokenizer, made.decoder = splits(add_prefix_space=False), decoders.ByteLevel()
    fast = transformers.PreTrainedTokenizerFast(tokenizer_object=made, eos_token=special[2], pad_token=special[0])
    fast.add_special_tokens({"additional_special_tokens": [special[1]]})
    fast.chat_template = (Path(trl.__file__).parent / "chat_templates" / "qwen3.jinja").read_text(encoding="utf-8")
    return fast


def test_a_step_of_training(tmp_path, monkeypatch):
    """With a model of random weights: it calls no tool, and is rewarded for that as the environment says."""
    monkeypatch.setenv("TRL_EXPERIMENTAL_SILENCE", "1")
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "head_dim": 16}
    heads = {"num_attention_heads": 1, "num_key_value_heads": 1, "vocab_size": 300, "pad_token_id": 0}
    model = transformers.Qwen3ForCausalLM(transformers.Qwen3Config(**sizes, **heads, eos_token_id=2))
    rows = {"prompt": [[{"role": "user", "content": "Go. "}]] * 2, "seed": [0, 1]}
    batch = {"per_device_train_batch_size": 2, "num_generations": 2, "max_completion_length": 4, "max_steps": 1}
    quiet = {"report_to": "none", "save_strategy": "no", "logging_strategy": "no", "disable_tqdm": True}
    trainer = trl.GRPOTrainer(
        model=model,
        args=trl.GRPOConfig(output_dir=str(tmp_path), use_cpu=True, **batch, **quiet),
        train_dataset=datasets.Dataset.from_dict(rows),
        processing_class=tokenizer(),
        environment_factory=ours.SearchTools,
    )
    trainer.train()
    assert trainer.reward_func_names == ["SearchTools"]
    assert [each.__name__ for each in trainer.tools] == ["finish", "lookup", "search"]
    questions = {each._episode.env.unwrapped.episode.question.id for each in trainer.environments}
    assert len(questions) == 1  # both rollouts are of the episode of their row
