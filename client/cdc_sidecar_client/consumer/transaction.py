"""A handler inside its database transaction."""

from typing import Any

import psycopg
from psycopg.pq import TransactionStatus

from cdc_sidecar_client.consumer.errors import EventError, HandlerFailed
from cdc_sidecar_client.consumer.handlers import Call


def call_handler(connection: psycopg.Connection[Any], call: Call) -> None:
    """Call a handler in the open transaction.

    Raises:
        EventError: the handler failed. The transaction must be rolled back.

    """
    try:
        call(connection)
    except EventError:
        raise
    except Exception as error:  # code of the service: it may raise anything
        raise HandlerFailed(str(error)) from error
    if connection.info.transaction_status is not TransactionStatus.INTRANS:
        # Postgres answers COMMIT with ROLLBACK then, and the event would be lost without an error.
        raise HandlerFailed(
            "the handler caught an error of the database, which ends the transaction:"
            " put the statement into `with transaction.transaction():`"
        )
