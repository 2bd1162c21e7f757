import sys

from beft_lib.cli import main

sys.exit(main())
