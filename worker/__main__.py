"""``python -m worker`` is ``icr``: how one process of ours starts another in the same environment."""

from worker.cli import main

main()
