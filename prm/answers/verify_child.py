"""Run as a script by workers.py: reads "a TAB b" lines, writes "1" if Math-Verify finds them equal, else "0".

Math-Verify's own limits are switched off (they use signals); the parent kills this process when it overruns. It takes
2 GiB of memory at most, so that a power tower ends here and not in the machine's swap.
"""

import functools
import logging
import resource
import sys


def main() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))
    logging.disable(logging.CRITICAL)
    from math_verify import ExprExtractionConfig, LatexExtractionConfig, parse, verify

    rules = [LatexExtractionConfig(), ExprExtractionConfig()]
    parsed = functools.lru_cache(maxsize=256)(lambda form: parse(f"${form}$", rules, parsing_timeout=None))
    verify(
        parsed("x+1"), parsed("1+x"), timeout_seconds=None
    )  # loads the grammar, which no comparison should be charged for
    print("ready", flush=True)
    for line in sys.stdin:
        a, _, b = line.rstrip("\n").partition("\t")
        left, right = parsed(a), parsed(b)
        same = bool(left and right) and (
            verify(left, right, timeout_seconds=None) or verify(right, left, timeout_seconds=None)
        )
        print("1" if same else "0", flush=True)


if __name__ == "__main__":
    main()
