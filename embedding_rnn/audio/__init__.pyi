from .codec import Codec as Codec
from .codec import get_codec as get_codec
