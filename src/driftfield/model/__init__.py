"""Model: what a user holds, and the functions of (model, ..) behind its methods.

model         the dataclass and its methods
sampling      new rows, and the paths between data and noise
densities     log-densities, scores, codes, bits per dimension
bounds        lower bounds on log-densities
priors        the Gaussian that approximates x_1, and how far it is from it
noise_levels  a time or a noise level as a time of the schedule
labels        class labels as numbers
tensors       the same results as torch tensors
files         weights, rows and recipe of a run, written
loading       the model of a run folder
run           the folder of a run
"""
