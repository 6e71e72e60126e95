"""`python -m cdc_sidecar` is `cdc-sidecar`."""

from cdc_sidecar.cli import main

main()
