"""Reading files of arrays (`.npz`), any byte of which may be damaged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


def read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays of `path` by name; nothing in it is unpickled.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is damaged, or not a file of arrays.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except FileNotFoundError:
        raise
    except Exception as error:  # zip, zlib and the parser of NumPy's headers each have their own
        raise ValueError(f"damaged, or not a file of arrays: {' '.join(str(error).split())}") from None
