"""The ablation: every kind of label, in worlds of their own, beside its ceiling, its rivals and what it cost.

    python -m eval.ablation recipes/ablation.yaml --seeds 1 2 3 4 5      (`make ablation`)

world.py     one world: its policy, then a run of the recipe
measure.py   what one world's run shows, a number a problem
summary.py   all worlds together: summary.json
table.py     the table from it
"""
