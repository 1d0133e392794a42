"""The device of a command."""

from __future__ import annotations

import torch

from sftok.tokenizers.hub import Tokenizer
from sftok.tool.errors import ToolError


def place(tokenizer: Tokenizer, name: str | None) -> torch.device:
    """Move `tokenizer` to the device of that name, or to the best available one.

    Raises:
        ToolError: the device does not exist, or cannot compute, such as "meta".
    """
    chosen = name or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(chosen)
        tokenizer.to(device)
        torch.ones((), device=device).item()
    except (RuntimeError, AssertionError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ToolError(f"--device {chosen}: cannot be used ({reason})") from None
    return device
