"""The small world: word problems whose every step has a computable truth, and a small policy that errs in known ways.

facts.py       arithmetic on last digits, and which facts the policy was mis-taught
program.py     a problem as data: a start and a chain of operations
story.py       programs as English, solutions as English, and back
problems.py    generate(n, seed) -> problems; references(...) -> their programs, for eval/ and the gold signal only
truth.py       per step: right, slip, misconception, carried
routes.py      the same quantity by another route, with its answer map
tokenizer.py   one token a word; decoding gives the text back exactly
pretrain.py    trains the shipped policy (recipes/world-policy.yaml)
"""
