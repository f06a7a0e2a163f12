"""The file that OpenRLHF loads: `--remote_rm_url path/of/prm/serve/openrlhf.py`; the environment names the PRM (prm/rewards.py)."""

from prm.rewards import of_environment


def reward_func(queries, prompts, labels):
    """{"rewards": [...], "scores": [...], "extra_logs": {}}, one reward in [0, 1] a query; PRM_UNSCORED, which must be set, for what has none."""
    return of_environment(filled=True).openrlhf(queries, prompts, labels)
