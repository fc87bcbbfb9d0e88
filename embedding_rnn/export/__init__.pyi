from .saved_model import export_run as export_run
