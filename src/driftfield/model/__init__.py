"""Model: what a user holds, and the functions of (model, ..) behind its methods.

model         the dataclass and its methods
sampling      new rows, and the paths between data and noise
densities     log-densities, scores, codes, bits per dimension
bounds        lower bounds on log-densities
priors        what stands for x_1
noise_levels  a time or a noise level as a time of the schedule
labels        class labels as numbers
tensors       the same results as torch tensors
files         weights, rows and recipe of a run, written and read
run           the folder of a run
"""
