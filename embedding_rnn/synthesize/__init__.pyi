from .config import SynthesisConfig as SynthesisConfig
from .synthesis import choose_rows as choose_rows
from .synthesis import synthesize as synthesize
