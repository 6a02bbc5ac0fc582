"""Codecs: the maps between the user's rows and the network's tensors.

codec     what every codec does: encode, decode, log-determinant, and what a model file keeps of it
numeric   a table of numbers
scaling   the affine map of its columns
table     a table of numbers, whole numbers and categories, with missing cells
columns   what each of its columns is
maps      the map of a number to the line on which it is modelled
decimals  how many decimals a column has
"""

from driftfield.codecs.codec import Codec, FloatArray
from driftfield.codecs.numeric import NumericCodec
from driftfield.codecs.scaling import Scaler
from driftfield.codecs.table import EncodedRows, TableCodec

__all__ = ["Codec", "EncodedRows", "FloatArray", "NumericCodec", "Scaler", "TableCodec"]
