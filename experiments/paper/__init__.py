"""The tables and figures of the paper: data only, one file each, every published number once."""
