from .measures import evaluate as evaluate
from .sweep import evaluate_runs as evaluate_runs
