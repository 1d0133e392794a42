"""SFTok: a discrete image tokenizer with a multi-step decoder, trained on its own first-step predictions.

The model package; it knows nothing of experiments, trackers or reports.
"""
