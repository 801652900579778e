"""Instructions before texts, by FlagEmbedding's formats."""

from typing import Any

from bge_fast.errors import quoted
from bge_fast.models.inputs import characters


def with_instruction(texts: list[str], instruction: str | None, instruction_format: str | None) -> list[str]:
    """Put the instruction before each text, by the format, ``None`` being ``"{}{}"``.

    An instruction of ``None`` leaves the texts alone.

    Raises:
        ValueError: a format that ``str.format`` rejects or that leaves the text out.
    """
    if instruction is None:
        return texts
    template = instruction_template("{}{}" if instruction_format is None else instruction_format)
    plain = characters(instruction) if isinstance(instruction, str) else instruction
    return [template.format(plain, text) for text in texts]


def instruction_template(instruction_format: Any) -> str:
    """Return the format as ``str.format`` takes it.

    Raises:
        ValueError: a format that ``str.format`` rejects or that leaves the text out.
    """
    if not isinstance(instruction_format, str):
        raise ValueError(f"instruction format {quoted(instruction_format)} is not a str")
    # Formats often come from a command line, where a newline is typed as backslash and n.
    template = characters(instruction_format).replace("\\n", "\n")
    try:
        keeps_text = "\0text\0" in template.format("", "\0text\0")
    except (IndexError, KeyError, ValueError, AttributeError) as error:
        raise ValueError(f"instruction format {quoted(instruction_format)} is not valid: {error!s:.80}") from error
    if not keeps_text:
        raise ValueError(f'instruction format {quoted(instruction_format)} leaves the text out; "{{}}{{}}" keeps both')
    return template
