"""Random histories of blocks, compared with plain dictionaries that share no code with any store.

A block has steps and an ending: it is committed, left with an exception, or its caller is cancelled. Some blocks
overlap. The result of each step, and the data in the store after each block, have to match the dictionaries, which are
called the model. `blocks` and `history` serve every store; each subject has a file with its steps. `search` runs many
histories, and reports the shortest one that fails.
"""
