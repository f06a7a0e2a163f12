"""Segmenters: sample -> where its steps end. One file each, with `cut(sample, config) -> Steps`.

A sample with a reason (`sample.reason != ""`) or without text has no steps: `Steps(problem_id, index, ())`.
"""
