"""Codecs: the maps between the user's rows and the network's tensors.

codec     what every codec does: encode, decode, log-determinant, and what a model file keeps of it
numeric   a table of numbers
scaling   the affine map of its columns
decimals  how many decimals a column has
"""

from driftfield.codecs.codec import Codec, FloatArray
from driftfield.codecs.numeric import NumericCodec
from driftfield.codecs.scaling import Scaler

__all__ = ["Codec", "FloatArray", "NumericCodec", "Scaler"]
