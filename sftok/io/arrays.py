"""Reading array files (`.npz`), any byte of which may be damaged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


def read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays of `path` by name; nothing in it is unpickled.

    Raises:
        FileNotFoundError: `path` does not exist.
        ValueError: the file is damaged or is not a file of arrays.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except FileNotFoundError:
        raise
    except Exception as error:  # zip, zlib and NumPy's header parser raise errors of different types
        raise ValueError(f"damaged, or not a file of arrays: {' '.join(str(error).split())}") from None
