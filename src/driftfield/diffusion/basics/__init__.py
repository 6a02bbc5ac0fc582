"""Part I: what everybody needs, in the order in which to read it. The guide ``docs/book.md`` walks through it.

The forward process: how data become noise.

    schedules      alpha(t) and sigma(t), and everything that follows from them
    chains         the same from a table of betas
    gaussian       diagonal Gaussians and the priors that sampling starts from
    bridge         the distribution of x_s given x_t and x, for any two times
    forward        the noising of one row as a path

The model: what a network learns.

    heads          what the output of a network means
    denoisers      from a network to an estimate of data, noise, score and velocity
    kernels        p(x_s | x_t): one step backward, with a choice of its variance

Training.

    denoising      the objective and its weights
    times          at which times to train

Sampling.

    loop           the one loop that all samplers share
    grids          the times that a sampler visits
    single_step    solvers of the probability-flow ODE, one step at a time
    stochastic     samplers that add noise on the way
"""
