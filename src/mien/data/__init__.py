"""Rows and tensors: manifests, features and labels, checks, splits and batches.

Nothing in this room but :mod:`mien.data.batch` imports torch, and nothing in it knows a model.
"""
