"""What visible positions show in stage 2, one file per answer."""
