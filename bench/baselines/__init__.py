"""What the service is measured beside: the same models, texts and threads under other servers.

Written as the documentation of each shows it, over the same tokenizer, windows and classifiers.
"""
