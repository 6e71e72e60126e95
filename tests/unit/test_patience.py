"""A slow machine is waited for, and a count that stands still is not."""

from cdc_sidecar.demo.patience import Patience


def test_it_lasts_while_the_count_grows_and_ends_when_it_stands_still() -> None:
    now = 0.0
    patience = Patience(20, lambda: now)
    for count in range(100):
        assert patience.lasts(count)
        now += 19
    assert patience.lasts(99)
    now += 1
    assert not patience.lasts(99)
