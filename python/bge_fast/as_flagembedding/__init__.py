"""``import bge_fast.as_flagembedding``: from here on, ``import FlagEmbedding`` gives these classes.

For programs and libraries that import FlagEmbedding by name: the first line of the program, or
``python -m bge_fast.as_flagembedding program.py``. FlagEmbedding's modules for inference, of 1.4 and of 1.2, are these
classes under all of their names. Training, evaluation and the rest come from FlagEmbedding itself where it is there.

Raises:
    ImportError: FlagEmbedding was imported before.
"""

import sys

from bge_fast.as_flagembedding.finder import ROOT, Finder

if ROOT in sys.modules:
    raise ImportError(
        "FlagEmbedding was imported before bge_fast.as_flagembedding, so its classes are in use already. Make "
        "`import bge_fast.as_flagembedding` the first line of the program"
    )
sys.meta_path.insert(0, Finder())
