"""python -m ganflow"""

import sys

from ganflow.cli import main

sys.exit(main())
