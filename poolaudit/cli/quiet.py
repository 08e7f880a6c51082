"""TensorFlow's greetings kept off the user's screen."""

from __future__ import annotations

import os
import sys
import tempfile

from poolaudit.errors import PoolauditError


def import_tensorflow() -> None:
    """Imports TensorFlow without its start-up lines; where the import fails, they are shown with the error.

    Its C++ side writes a few lines to standard error before any log level is heeded, so only the file descriptor
    can silence them.

    Raises:
        PoolauditError: TensorFlow is not installed, is broken, or finds too little memory.
        InvalidInputError: Keras is told to run on another backend.
    """
    if "tensorflow" in sys.modules:
        return
    from poolaudit.subject._keras_load import require_tensorflow_backend

    if os.environ.get("KERAS_BACKEND", "tensorflow") != "tensorflow":
        require_tensorflow_backend()
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as swallowed:
        os.dup2(swallowed.fileno(), 2)
        try:
            import tensorflow  # noqa: F401
        except (ImportError, MemoryError) as error:
            raise PoolauditError(
                f"TensorFlow cannot be imported ({str(error).strip() or type(error).__name__}). Allowed: an installed "
                "TensorFlow and the memory for it, about 2 GB of addresses."
            ) from None
        except BaseException:
            os.dup2(kept, 2)
            swallowed.seek(0)
            sys.stderr.write(swallowed.read().decode(errors="replace"))
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)
