"""Fitting: from data to a model.

fit          fit, resume, and the training of what was prepared
preparation  from data and a recipe to a plan and its parts
splitting    the rows to train on, to stop by and to judge by
plan         all that a training depends on, and its files
facts        what a run folder says of a training
devices      where the network lives
"""
