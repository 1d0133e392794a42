"""What is trained: a stage a file, none of which knows the loop."""
