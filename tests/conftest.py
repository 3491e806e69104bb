"""What every test relies on: no settings from outside, and no hurry on a busy machine."""

import os

from hypothesis import settings

from fastdata import Settings

for _field in Settings.model_fields:
    os.environ.pop(f"FASTDATA_{_field.upper()}", None)
os.environ.pop("FASTDATA_FAILPOINTS", None)

settings.register_profile("fastdata", deadline=None, print_blob=True)
settings.load_profile("fastdata")
