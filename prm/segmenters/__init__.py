"""Segmenters: samples -> where their steps end. One file each, with

cut(rows: Sequence[tuple[Problem, Sample]], config, context) -> list[Steps]     one a row, in their order
TEXT_ONLY = True    where the sample's text is all it reads: `context` may be None, and the steps do not depend on the problem

fit(rows, config, context, folder), needs_fit(config), with_path(config, folder)     where it learns something from samples first

A sample with a reason (`sample.reason != ""`) or without text has no steps: `Steps(problem_id, index, ())`.
"""
