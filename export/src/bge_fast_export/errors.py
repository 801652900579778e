"""Every failure that the user can do something about; the command line shows its message as one line."""


class ExportError(Exception):
    """Root of the errors below."""


class CheckpointNotFoundError(ExportError, FileNotFoundError):
    """No such folder, no such hub id or revision, or the hub is out of reach."""


class CheckpointError(ExportError, ValueError):
    """The folder is not a checkpoint, or a file in it is damaged."""


class UnsupportedCheckpointError(ExportError, NotImplementedError):
    """A sound checkpoint of a kind or architecture that is not exported yet."""


class OutputError(ExportError, OSError):
    """The output folder cannot be written: taken, no space, no permission."""


class VerificationError(ExportError, RuntimeError):
    """A graph does not compute what the checkpoint computes."""


def reason(error: Exception) -> str:
    """What another library's error says, in one line of bearable length."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {' '.join(lines)[:200]}" if lines else type(error).__name__
