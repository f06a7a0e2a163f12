"""The README.md of an export: what it is, how to load it, where its scores are."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from prm.card import backbone_name, base_model

if TYPE_CHECKING:
    from prm.apply import Usage
    from prm.model import Config

CARD = """\
---
{base}library_name: transformers
pipeline_tag: token-classification
tags: [process-reward-model, prm]
---

# {name}

A process reward model: the belief in [0, 1] that each step of a solution is right, given the problem and all the text before the step's end.
Made by `prm` from `{backbone}`, its adapter merged. One logit a token, no bias (`score.weight`); a score is the logit's sigmoid.

## Where scores are

The text is `{template}` with the problem in its place, and the steps behind it, line breaks kept. Problem and steps are tokenised one by one and joined as ids, so that no token
straddles two of them. A step's score stands at its last token before the white space that ends it; other positions were never trained. `prm` tells ids and positions, without weights:

```python
from prm.serve.text import Reader

reader = Reader.open("{name}")
encoded = reader.encode([("What is 2 + 3 * 4?", ["3 * 4 = 12\\n", "2 + 12 = 14\\n"])])
encoded[0].windows[0].ids, encoded[0].windows[0].reads  # token ids, positions of the steps' scores
```

It was trained on up to {max_tokens} tokens; a longer solution is several windows, each with the problem. {usage}

## transformers

```python
import torch
from transformers import AutoModelForTokenClassification

model = AutoModelForTokenClassification.from_pretrained("{name}").eval()
window = encoded[0].windows[0]
logits = model(torch.tensor([list(window.ids)])).logits[0, list(window.reads), 0]
scores = logits.sigmoid()  # one a step
```

`AutoModelForSequenceClassification` loads the same files ({architecture}) and gives the logit of a text's last token.

## vLLM

```bash
vllm serve {name} --runner pooling --max-model-len {max_tokens} --pooler-config '{{"task": "token_classify", "tok_pooling_type": "ALL"}}'
curl localhost:8000/pooling -H 'Content-Type: application/json' \\
  -d '{{"model": "{name}", "input": [[1, 2, 3]], "task": "token_classify", "use_activation": true}}'
```

`data[i].data` holds one score a token; `prm.serve.text.scores(encoded, [row["data"] for row in answer["data"]])` picks those of the steps. A vLLM server has one task: for `/classify`
(last token) start it without `--pooler-config`. Without vLLM: `prm serve {name} --port 8000` answers both kinds of request.

## TRL, OpenRLHF, verl

A reward from all steps, with what cannot be scored told apart (see `prm/rewards.py`):

- TRL: `os.environ["PRM_MODEL"] = "{name}"`, `from prm.rewards import reward_func`, `GRPOTrainer(reward_funcs=reward_func, ...)`
- OpenRLHF: `--remote_rm_url http://HOST:PORT/get_reward` on `prm serve`, or the path of `prm/serve/openrlhf.py`
- verl: `reward.custom_reward_function.path=.../prm/rewards.py`, `.name=compute_score`, the question in `extra_info["question"]`

By name the same files load wherever a sequence classifier is read at a text's last token: `GRPOTrainer(reward_funcs="{name}")`, OpenRLHF's `--reward_pretrain` (head `score`), verl's
reward model through `/classify`. That gives **the last step's logit, if the text ends with that step's last visible character and was formed as above**. Behind a trailing line break, an end-of-text token or a chat
template's end mark no score was trained: strip them first, or use the functions above. And a solution's last step may be right although an earlier one is wrong: a reward of the whole
solution needs all of its steps. Texts tokenised in one go may differ from the ids above where a token straddles two steps.{special}
"""
SPECIAL = """

**The text begins with `{opening}`**, which this tokenizer adds and training put there. TRL tokenises reward texts without special tokens: by name its scores
are others than the PRM's, unless each prompt begins with `{opening}`. The functions above put it there.
"""


def text(name: str, config: Config, architecture: str, usage: Usage, opening: str) -> str:
    """The card; name: the export's folder; opening: what the tokenizer itself puts before a text."""
    how = "Its training does not say how texts are cut into steps; bring the steps."
    if usage.segmenter is not None:
        segmenter = {key: value for key, value in usage.segmenter.items() if key != "path"}  # it lies in the folder
        how = f"Texts are cut into steps by `{json.dumps(segmenter)}`, a solution's score is the {usage.reduce} of its steps' scores."
    return CARD.format(
        name=name,
        base=base_model(config),
        backbone=backbone_name(config),
        special=SPECIAL.format(opening=opening).rstrip() if opening else "",
        template="chat template" if config.template == "chat" else repr(config.template)[1:-1],
        max_tokens=config.max_tokens,
        architecture=architecture,
        usage=how,
    )
