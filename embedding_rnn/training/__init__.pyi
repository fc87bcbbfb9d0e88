from .trained_run import Run as Run
from .trained_run import load_pretrained as load_pretrained
from .trained_run import load_run as load_run
from .trainer import NonFiniteCostError as NonFiniteCostError
from .training import train as train
