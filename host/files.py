"""Writing files so that a crash or a full disk leaves either the old content or the new."""

from cpt.model.files import write_atomically

__all__ = ["write_atomically"]
