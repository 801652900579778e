"""``import bge_fast.as_flagembedding``: from here on, ``import FlagEmbedding`` gives these classes.

For programs and libraries that import FlagEmbedding by name: the first line of the program, or
``python -m bge_fast.as_flagembedding program.py``. FlagEmbedding's modules for inference, of 1.4 and of 1.2, are these
classes under all of their names. Training, evaluation and the rest come from FlagEmbedding itself where it is there.

Raises:
    ImportError: FlagEmbedding was imported before.
"""

from bge_fast.as_flagembedding.finder import stand_first

stand_first()
