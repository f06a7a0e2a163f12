"""Roles: what a model's steps do, found in its own hidden states without anyone having named them (METHODS, attractors).

    roles = fit([("Mia has 3 coins. How many?\n", "So 3 + 2 = 5\nThe answer is 5"), ...], Config())
    roles.save("runs/roles"); roles = Roles.load("runs/roles")
    roles.read([(prompt, text)])                                 # [Reading]: segments, their roles, and the mode at every token

cluster.py   centres of segments -> clusters; how many, and how stable they are
segments.py  texts -> segments, centres, hidden states
fit.py       the whole: read, cluster, name, train the detector
model.py     `Roles`: assign, detect, read, save, load
detector.py  hidden state -> role on a stream, with hysteresis
live.py      the same while transformers generates
recipe.py    `prm roles`: a recipe and a corpus -> roles
harvest.py   `prm harvest`: a corpus and roles -> a self-labelled corpus, which goes on where it was stopped; card.py writes its data card

A *segment* is a step's tokens, its *centre* the mean of their hidden states (one layer), a *role* a cluster of centres, the *mode* at a token
the role that the detector believes the text to be in, knowing nothing behind that token.
"""
