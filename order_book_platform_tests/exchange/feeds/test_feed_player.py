"""When events happen: by a multiple of their pace, at once, after a subscription, and after a snapshot."""

from __future__ import annotations

from order_book_platform.exchange import Pace, Start
from order_book_platform.exchange.feeds.feed_event import FeedEvent
from order_book_platform.exchange.feeds.feed_player import FeedPlayer
from order_book_platform_tests.exchange.clients import SECOND_NS, START_NS, ListedFeed, depth, ticker

EVENTS = [ticker(number, due_ns=number * SECOND_NS) for number in range(6)]
HELD = [EVENTS[0], FeedEvent(SECOND_NS, "BTCUSDT", None, b""), EVENTS[2]]


def player(pace: Pace, *feeds: list[FeedEvent]) -> FeedPlayer:
    """A player of listed events."""
    return FeedPlayer([("usdm", ListedFeed(events)) for events in feeds], pace)


def taken(played: FeedPlayer, second: float, most: int = 99) -> list[int]:
    """Ids of the events that are due."""
    events = played.take(START_NS + int(second * SECOND_NS), most)
    return [event.final_update_id for _, event in events]


def test_events_happen_at_a_multiple_of_their_pace() -> None:
    """At twice the pace an event of the fourth second is due after two."""
    played = player(Pace(2.0), EVENTS)
    assert [taken(played, second) for second in (0, 0.9, 1, 2)] == [[0], [1], [2], [3, 4]]
    assert not played.finished
    assert taken(played, 3) == [5]
    assert played.finished


def test_without_a_pace_events_are_given_as_they_are_taken() -> None:
    """A call gives as many as it asks for."""
    played = player(Pace(None), EVENTS)
    assert [taken(played, 0, 4), taken(played, 0, 4)] == [[0, 1, 2, 3], [4, 5]]


def test_feeds_are_merged_by_time() -> None:
    """Events of two feeds come in the order of their times."""
    other = [depth(number, [], [], due_ns=number * SECOND_NS + 1) for number in range(3)]
    assert taken(player(Pace(None), EVENTS[:3], other), 0) == [0, 110, 1, 120, 2, 130]


def test_feeds_may_wait_for_their_start() -> None:
    """Nothing happens before the start, and time counts from then on."""
    played = player(Pace(1.0, Start.SUBSCRIBED), EVENTS)
    assert taken(played, 100) == []
    played.start(START_NS + 100 * SECOND_NS)
    played.start(START_NS + 200 * SECOND_NS)
    assert taken(played, 101) == [0, 1]


def test_a_recording_holds_until_a_snapshot_was_asked_for() -> None:
    """The time for which it was held is not made up for by a burst."""
    played = player(Pace(1.0, hold_for_snapshot=True), HELD)
    assert [taken(played, second) for second in (0, 1, 50)] == [[0], [], []]
    played.snapshots_asked.add(("usdm", "BTCUSDT"))
    assert [taken(played, second) for second in (51, 51.9, 52)] == [[], [], [2]]


def test_without_holding_the_place_of_the_snapshot_is_nothing() -> None:
    """It passes like any other time."""
    assert [taken(player(Pace(1.0), HELD), 9)] == [[0]]
    played = player(Pace(None), HELD)
    assert taken(played, 0) == [0, 2]


def test_no_feed_is_finished() -> None:
    """A market without symbols has nothing to play."""
    assert player(Pace()).finished
