"""Codecs: between the user's rows and the network's tensors."""
