"""``python -m console.supervisor``: Slipway in the foreground, until Ctrl-C or SIGTERM."""

from __future__ import annotations

import os
import sys

from console.data_folder import DataFolderError, load_secret_key, prepare_data_folder, prepare_socket_folder
from console.environment import Environment, EnvironmentError_
from console.supervisor.claims import ClaimError, claim_data_folder, listen
from console.supervisor.report import complain
from console.supervisor.supervisor import Supervisor

#: Nothing was started: a setting, the folder or the port does not allow it.
EXIT_REFUSED = 2


def main() -> int:
    """Claim folder and port, then supervise. Every refusal is one line for each cause."""
    try:
        environment = Environment.parse(os.environ)
        prepare_data_folder(environment.data_dir)
        prepare_socket_folder(environment)
        with claim_data_folder(environment.data_dir), listen(environment.host, environment.port) as listener:
            load_secret_key(environment)
            return Supervisor(environment, listener).run()
    except EnvironmentError_ as error:
        for problem in error.problems:
            complain(problem)
    except (DataFolderError, ClaimError) as error:
        complain(str(error))
    return EXIT_REFUSED


if __name__ == "__main__":
    sys.exit(main())
