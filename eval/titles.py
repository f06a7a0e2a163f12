"""What arms of a recipe are called in tables, by their names: the ways of making labels that the field knows."""

ARMS = {
    "orm": "outcome model on the same data",
    "pairwise": "pairwise step consistency",
    "ttrl": "TTRL: the majority's answer as every step's label",
    "sprm": "SPRM: the same, with its own dynamic weights",
    "mc_hard": "Math-Shepherd, hard (rollouts judged by the vote)",
    "mc_soft": "Math-Shepherd, soft (rollouts judged by the vote)",
    "tree_hard": "Math-Shepherd, hard (prefixes that samples share, judged by the vote)",
    "tree_soft": "Math-Shepherd, soft (prefixes that samples share, judged by the vote)",
}
