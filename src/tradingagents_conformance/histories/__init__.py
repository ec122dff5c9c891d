"""Random histories of blocks, compared with plain dictionaries that share no code with any store.

A block is a list of steps and a way to end: kept, left with an exception, or cut off by a cancelled caller; some blocks
overlap. What each step answers or refuses, and what the store holds after each block, has to be what the dictionaries
say. `blocks` and `machine` are the same for every store; what can be asked of a store has a file for each subject.
"""
