"""Part II: for whoever goes on. Every chapter builds on Part I; few build on one another.

More samplers.

    multistep          solvers that use the estimates of earlier steps
    ode                Runge-Kutta with error control for each row
    adaptive           the probability-flow ODE to a tolerance

More denoisers.

    guidance           classifier-free guidance
    exact              the exact denoisers of Gaussian mixtures and of finite data
    conversion         a trained denoiser under another schedule or head

More to learn than a mean.

    learned_kernel     mean and standard deviation of a reverse step, without a denoiser
    learned_variance   the variance of a reverse step, and the hybrid loss that trains it
    learned_schedule   gamma(t) as a monotone network
    sliced             sliced score matching

Bounds on the likelihood.

    chain_bound        the variational bound of a chain, to evaluate a model
    chain_loss         the same bound as a loss, to train a learned kernel
    continuous_bound   its limit in continuous time: a loss, and a measure of a model

Densities.

    probability_flow   the probability-flow ODE in variables that suit its solution
    divergence         the divergence of its field, exact or estimated
    likelihood         log-densities, with their errors
    dequantisation     the probability of integers from a density
    fokker_planck      the density of the forward process on a grid

Noise.

    row_noise          noise that depends on the seed and the number of a row alone
"""
