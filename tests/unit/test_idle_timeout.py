"""The demo waits for a slow machine, but not for events that do not come."""

from cdc_sidecar.demo.idle_timeout import IdleTimeout


def test_it_is_over_when_the_count_stands_still_and_not_while_it_grows() -> None:
    now = 0.0
    timeout = IdleTimeout(20, lambda: now)
    for count in range(100):
        assert not timeout.is_over(count)
        now += 19
    assert not timeout.is_over(99)
    now += 1
    assert timeout.is_over(99)
