"""``python -m bge_fast.as_flagembedding program.py …``, or ``-m module …``: a program that is not changed."""

import os
import runpy
import sys

USAGE = """usage: python -m bge_fast.as_flagembedding PROGRAM.py [ARGUMENTS ...]
       python -m bge_fast.as_flagembedding -m MODULE [ARGUMENTS ...]

Run a program in which `import FlagEmbedding` gives bge-fast."""


def main(arguments: list[str]) -> None:
    """Run a program with its arguments, as ``python`` does."""
    match arguments:
        case ["-h" | "--help", *_]:
            print(USAGE)
        case ["-m", module, *_]:
            sys.argv = arguments[1:]
            runpy.run_module(module, run_name="__main__", alter_sys=True)
        case [program, *_] if os.path.exists(program):
            sys.argv = arguments
            if not sys.flags.safe_path:
                sys.path[0] = os.path.dirname(os.path.realpath(program))
            runpy.run_path(program, run_name="__main__")
        case [program, *_] if not program.startswith("-"):
            _refuse(f"there is no program {program!r}")
        case _:
            _refuse(USAGE)


def _refuse(message: str) -> None:
    print(message, file=sys.stderr)
    sys.exit(2)


if __name__ == "__main__":
    main(sys.argv[1:])
