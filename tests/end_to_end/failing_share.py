"""The command line, where the second process cannot do its share of the teacher."""

from __future__ import annotations

import sys
from typing import Any

from experiments import tasks
from experiments.__main__ import main
from experiments.tasks.base import Task
from experiments.tasks.teacher import make_teacher


def make(task: Task) -> dict[str, Any]:
    """As the real maker does, but for the second process."""
    if task.world.rank == 1:
        raise ValueError("image 7 cannot be read")
    return make_teacher(task)


if __name__ == "__main__":
    tasks.MAKERS = {**tasks.MAKERS, "teacher": "failing_share:make"}
    sys.exit(main())
