"""A second name of the module ``airkit.config.settings``."""

import sys

from airkit.config import settings

sys.modules[__name__] = settings
