"""The command `uae`. Without the packages that it needs it prints one line that names them."""

import sys

CLI = {"pydantic", "pydantic_core", "rich", "typer", "yaml"}


def main() -> None:
    try:
        from uae.cli import main as run

        run()
    except ModuleNotFoundError as error:
        package = (error.name or "uae").partition(".")[0]
        if package == "uae":
            raise
        extra = "cli" if package in CLI else "workflow"
        sys.exit(
            f"error: this command needs {package}, which is not installed: pip install 'uae-repro[{extra}]', "
            f"in a checkout '.[{extra}]'"
        )


if __name__ == "__main__":
    main()
