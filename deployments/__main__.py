"""`make deploy`: bring a Prefect server to what this folder and prefect.yaml say, as often as you like."""

import sys
from pathlib import Path

from deployments.environment import read_environment
from deployments.errors import DeployError
from tasks.changes.texts import printable_lines


def main() -> int:
    """Run the deploy; 0 done, 1 something failed on the way, 2 bad input and nothing changed."""
    try:
        # Before Prefect is imported, which reads the same `.env`, and says much where it cannot.
        variables = read_environment(Path.cwd())
        run(variables)
    except DeployError as error:
        print(printable_lines(f"error: {error}"), file=sys.stderr)
        return error.exit_status
    return 0


def run(variables: dict[str, str]) -> None:
    """Deploy, and print each thing done; raise DeployError."""
    import httpx
    from prefect.exceptions import PrefectException

    from deployments.deploy import deploy

    try:
        for line in deploy(Path.cwd(), variables):
            print(printable_lines(line), flush=True)
    except (httpx.HTTPError, PrefectException, ValueError) as error:  # the last: it is no Prefect server
        said = str(error).partition("\n")[0]
        message = f"the Prefect server failed on the way ({said}): read its log, then deploy again"
        raise DeployError(message) from error


if __name__ == "__main__":
    sys.exit(main())
