"""The entry of `cdc-sidecar` and `python -m cdc_sidecar`: takes the signals, then imports the rest.

The imports take most of a second, and a signal that arrives before anybody takes it would be lost
or would kill the process.
"""

import sys

from cdc_sidecar import process


def main() -> None:
    """Run the command line."""
    process.fill_descriptors()
    process.collect_rarely()
    if sys.argv[1:2] == ["run"]:
        process.hold_signals()
        _run()
    else:
        process.interrupt_silently()
        from cdc_sidecar import cli  # noqa: PLC0415 - after the signals are taken

        process.interrupt_by_exception()
        cli.main()


def _run() -> None:
    from cdc_sidecar import cli  # noqa: PLC0415 - as above

    try:
        cli.main()
    except SystemExit as end:
        process.leave(end.code if isinstance(end.code, int) else int(end.code is not None))


if __name__ == "__main__":
    main()
