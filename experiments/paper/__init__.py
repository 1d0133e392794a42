"""The tables and figures of the paper, as data: one file each, with every published number once."""
