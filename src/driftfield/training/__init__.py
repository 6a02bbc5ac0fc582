"""Training: from a model, its loss and rows to trained weights.

loop            one step after another, the average of the weights, interruptions
batches         which rows a step sees
early_stopping  which weights are returned, and when training may end early
callbacks       what a training reports to its caller
checkpoint      the files that a training resumes from
"""
