"""Dynamics of a model over a text: how its next-token distribution and its hidden states move from token to token.

traces.py    the names of the traces, and one text's values of them
motion.py    curl, turning angle and RPI of hidden states
flow.py      KL flow, entropy and surprise, fused with the output projection: never all T x V logits
kernel.py    the same on a GPU, in Triton
head.py      a model's output projection, checked against its own logits
reader.py    any model of transformers: texts -> traces (and hidden states), in batches
stream.py    the same, one token at a time, with a state that does not grow

Everything at position t is known once token t has been read: KL_t compares the distributions of token t + 1 and of token t. What is not
defined (the first token's flow, the first two's curl) is NaN.
"""
