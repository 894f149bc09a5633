"""What a trained model is, and how a text becomes a verdict.

Symbols used in every shape comment of this package:

    B   batch size (rows: texts, or windows of texts)
    T   length in tokens, padding included
    E   width of the shared embedding table (384)
    D   width of an encoder's hidden states (``d_model`` or ``hidden_size``)
    P   width after pooling (2·D for ``mean_max``, D otherwise)
    nh  attention heads, each hs = D / nh wide
    F   width of a feed-forward layer (``d_ff``)
    V   vocabulary size
    C   number of labels

Names, one each, everywhere:

    input_ids       (B, T) int64   token ids, padded on the right
    attention_mask  (B, T) bool    True = a real token
    embeddings      (B, T, E)      rows of the shared, frozen table
    hidden_states   (B, T, D)      what an encoder returns
    hidden_state    (B, P)         pooled over the real tokens
    logits          (B, C)         before calibration

An *architecture* is code (``lstm``); a *model* is a trained checkpoint, served by name.

The flow, and who owns which step:

    text -> tokens -> windows          tokenizer.py, windows.py    no torch
    windows -> input_ids -> logits     predict.py                  torch
    logits -> calibrated verdict       verdict.py                  no torch

The half that needs no torch is what an API process imports, so that only the worker pays for it.
"""
