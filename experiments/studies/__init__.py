"""Studies carried out: trials that several processes share through a journal, and artifacts of the store."""
