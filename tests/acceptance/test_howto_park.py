"""The how-to about parking works as it is written."""

import json
import shlex

from tests.acceptance.howto import Operator, Page
from tests.waiting import await_true


def test_a_row_is_parked_shown_and_sent_again(operator: Operator) -> None:
    page = Page("park-events")
    operator.sql("CREATE TABLE invoices (id bigint PRIMARY KEY, total numeric(9, 2))")
    operator.sql(
        "ALTER PUBLICATION orders_cdc ADD TABLE invoices; GRANT SELECT ON invoices TO cdc_sidecar"
    )
    operator.configure(page.take("toml", "on_error"))
    operator.sidecar.start_and_stream()
    await_true(
        lambda: len(operator.sidecar.events("snapshot_completed")) > 1, what="nothing was there"
    )
    operator.sql("INSERT INTO invoices VALUES (1, 1), (2, 'NaN')")
    await_true(lambda: operator.sidecar.events("event_parked"), what="the row is parked")
    shown = operator.sh(page.take("sh", "cdc-sidecar parked --config"))
    promised = page.take("text", "public.invoices  insert").splitlines()
    for line in (promised[0], promised[1], promised[-2], promised[-1]):
        assert line.strip() in shown
    whole = page.take("sh", "--json").partition(" | jq")[0]
    assert json.loads(operator.sh(whole).splitlines()[0])["after"]["total"] == "NaN"
    operator.sql("UPDATE invoices SET total = 2 WHERE id = 2")
    command = page.take("sh", "snapshot start")
    again = next(line for line in shown.splitlines() if "again:" in line).partition("again:")[2]
    assert shlex.split(command) == shlex.split(again)
    operator.sh(command)
    operator.await_read("invoices", {"2"})
    page.assert_taken()
