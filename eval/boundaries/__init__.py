"""Where segmenters cut texts whose delimiters are hidden, against where their writers ended the steps.

texts.py        the texts: solutions of the small world, and PARC, ProcessBench and MATH, steps joined without their breaks
matching.py     boundary precision, recall and F1, exact and within a few tokens
contenders.py   the segmenters, each with the settings that it may choose from on the tuning half
"""
