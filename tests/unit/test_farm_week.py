"""A week of one tank against figures that were computed by hand, and what voids, corrections and late events change.

By hand, tank_001, UTC days:

    Mon  stocked 10,000 of 100 g (1,000 kg); fed 20 kg
    Tue  dead 20; fed 20 kg
    Wed  dead 10; fed 20 kg
    Thu  dead 5, culled 100 (they weigh 100 g each); fed 20 kg
    Fri  dead 0; fed 20 kg
    Sat  harvested 1,000 with 130 kg; dead 8; fed 20 kg
    Sun  fed 20 kg; weighed 120 g at noon

    fish   10,000 - 20 - 10 - 5 - 100 - 1,000 - 8 = 8,857
    rates  Tue 20/((10000+9980)/2) = .002002002; Wed 10/((9980+9970)/2) = .001002506;
           Thu 5/((9970+9865)/2) = .000504159; Sat 8/((9865+8857)/2) = .000854610; sum .004363277
    risk   100 (1 - exp(-.004363277)) = .4353772 %
    biomass 8,857 * 120 g = 1,062.84 kg
    lost   dead 43 and culled 100, at 100 g: 14.3 kg
    eFCR   140 / (1,062.84 + 130 - 1,000) = .7259904
    bFCR   140 / (1,062.84 + 130 + 14.3 - 1,000) = .6758714
    SGR    6.25 days from Mon 06:00 to Sun 12:00: 100 (ln 120 - ln 100)/6.25 = 2.917145
    TGC    at 10 degC for 6 days, 60 degC d: 1000 (4.9324241 - 4.6415888)/60 = 4.847255
    made   (1,062.84 - 1,000 + 130 - 0)/6.25 = 30.8544 kg/d
"""

from __future__ import annotations

import itertools
import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest

from agent.farm.stock.events import StockEvent, cycles, in_force
from agent.farm.stock.figures import Surroundings, stock_figures
from agent.farm.stock.tally import tally

MONDAY = datetime(2026, 3, 2, tzinfo=UTC)
SUNDAY_EVENING = MONDAY + timedelta(days=6, hours=20)
TEN_DEGREES = Surroundings({(MONDAY + timedelta(days=day)).date(): 10.0 for day in range(7)}, "tank_001_temperature")


def at(day, hour=8):
    return MONDAY + timedelta(days=day, hours=hour)


def event(name, kind, when, **fields):
    return StockEvent(name, kind, "tank_001", when, **fields)


WEEK = [
    event("s1", "stocking", at(0, 6), count=10_000, mean_weight_g=100.0, species="atlantic_salmon"),
    *(event(f"f{day}", "feeding", at(day, 9), kg=20.0) for day in range(7)),
    event("d1", "mortality", at(1), count=20),
    event("d2", "mortality", at(2), count=10),
    event("d3", "mortality", at(3), count=5),
    event("c1", "removal", at(3), count=100, cause="cull"),
    event("h1", "harvest", at(5), count=1_000, kg=130.0),
    event("d5", "mortality", at(5), count=8),
    event("w1", "weighing", at(6, 12), mean_weight_g=120.0),
]
BY_HAND = {
    "stock_fish": 8_857,
    "mean_weight": 120,
    "biomass": 1_062.84,
    "feed_day": 20,
    "feed_week": 140,
    "feed_cycle": 140,
    "dead_day": 0,
    "dead_cycle": 43,
    "mortality_rate_day": 0,
    "mortality_times_usual": None,
    "mortality_rolling": 0.4353772,
    "mortality_cycle": 0.4353772,
    "fcr_economic": 0.7259904,
    "fcr_biological": 0.6758714,
    "sgr": 2.917145,
    "tgc": 4.847255,
    "production_day": 30.8544,
}


def figures(recorded, now=SUNDAY_EVENING, around=TEN_DEGREES, zone=UTC):
    cycle = cycles(in_force(recorded), "tank_001")[-1]
    return {one.name: one for one in stock_figures(cycle, now, zone, around)}


def values(recorded, **how):
    return {name: one.value for name, one in figures(recorded, **how).items()}


def test_every_figure_is_the_one_computed_by_hand():
    assert values(WEEK) == {
        name: None if value is None else pytest.approx(value, rel=2e-7) for name, value in BY_HAND.items()
    }


def test_each_figure_names_a_formula_and_a_source():
    for one in figures(WEEK).values():
        assert one.formula.text
        assert one.formula.source


def test_g3_the_order_in_which_events_are_recorded_changes_nothing():
    shuffled = WEEK[:]
    for seed in range(20):
        random.Random(seed).shuffle(shuffled)
        assert values(shuffled) == values(WEEK)


def test_g4_a_voided_event_is_as_if_it_had_never_been():
    wrong = event("d9", "mortality", at(4), count=900)
    void = event("v1", "void", at(6), voids="d9")
    assert values([*WEEK, wrong])["dead_cycle"] == 943
    assert values([*WEEK, wrong, void]) == values(WEEK)
    assert values([void, *WEEK, wrong]) == values(WEEK), "also if the void comes first"


def test_g4_a_correction_takes_the_place_of_its_event_and_can_be_corrected_and_voided_itself():
    typo = replace(WEEK[8], id="d1x", count=200, corrects="d1")
    right = replace(WEEK[8], id="d1y", count=21, corrects="d1x")
    undo = event("v", "void", at(6), voids="d1x")
    assert values([*WEEK, typo])["dead_cycle"] == 223
    assert values([*WEEK, typo, right])["dead_cycle"] == 44
    assert values([*WEEK, typo, undo]) == values(WEEK)
    assert values([*WEEK, typo, undo, event("vv", "void", at(6), voids="v")])["dead_cycle"] == 223
    second = replace(WEEK[8], id="d1z", count=30, corrects="d1")
    assert values([*WEEK, typo, second])["dead_cycle"] == 53, "of two corrections the last one counts"


def test_a_back_dated_event_changes_the_day_that_it_is_of():
    late = event("d0", "mortality", at(1, 20), count=10)
    found = values([*WEEK, late])
    assert found["stock_fish"] == 8_847
    assert found["mortality_rate_day"] == 0
    assert found["mortality_rolling"] > BY_HAND["mortality_rolling"]


def test_days_are_those_of_the_farm_s_zone():
    shifted = [*WEEK, event("night", "mortality", at(6, 1), count=7)]
    assert values(shifted)["dead_day"] == 7
    assert values(shifted, zone=timezone(timedelta(hours=-3)))["dead_day"] == 0


@pytest.mark.parametrize(
    ("recorded", "name", "why"),
    [
        (WEEK[:-1], "fcr_economic", "no weighing since the stocking"),
        (WEEK[:-1], "sgr", "there is only one weighing"),
        ([replace(WEEK[0], mean_weight_g=None)], "biomass", "no mean weight is known"),
        ([WEEK[0], WEEK[-1]], "fcr_economic", "no feed is recorded"),
        (
            [*WEEK, event("s2", "stocking", at(6, 13), count=10, mean_weight_g=90.0)],
            "sgr",
            "fish were put in between the last two weighings",
        ),
        ([WEEK[0], WEEK[1], replace(WEEK[-1], mean_weight_g=90.0)], "fcr_economic", "the gain is -100 kg"),
    ],
)
def test_g1_a_figure_that_cannot_be_computed_says_why(recorded, name, why):
    found = figures(recorded)[name]
    assert found.value is None
    assert why in found.reason


def test_g1_degree_days_are_not_filled_in():
    gap = Surroundings(dict.fromkeys(list(TEN_DEGREES.temperatures)[1:], 10.0), "tank_001_temperature")
    assert (
        "no mean temperature on 1 of 6 days, the first of them 2026-03-02" in figures(WEEK, around=gap)["tgc"].reason
    )
    assert "no temperature sensor" in figures(WEEK, around=Surroundings())["tgc"].reason


def test_culls_escapes_and_counting_errors_are_no_mortality():
    more = [
        *WEEK,
        event("e1", "removal", at(4), count=500, cause="escape"),
        event("n1", "fish_count", at(4, 10), count=9_300),
    ]
    found = values(more)
    assert found["dead_cycle"] == 43
    parts = {one.name: one.value for one in figures(more)["stock_fish"].inputs}
    assert parts["escaped"] == 500
    assert parts["counting difference"] == 9_300 - 9_365
    assert found["stock_fish"] == 9_300 - 1_008


def test_more_dead_than_fish_is_said_and_no_negative_stock_is_made():
    found = figures([WEEK[0], event("d", "mortality", at(1), count=10_001)])["stock_fish"]
    assert found.value == 0
    assert found.notes == ("after mortality d the tank holds -1 fish",)


def test_a_transfer_leaves_one_tank_and_begins_a_cycle_in_the_other():
    moved = event("t1", "transfer", at(4), count=1_000, to_tank="tank_002", mean_weight_g=110.0)
    events = in_force([*WEEK, moved])
    (other,) = cycles(events, "tank_002")
    assert tally(other, SUNDAY_EVENING).fish == 1_000
    assert tally(cycles(events, "tank_001")[0], SUNDAY_EVENING).fish == 7_857


def test_a_closed_cycle_ends_and_the_next_stocking_begins_another():
    close = event("x", "close", at(6, 15))
    second = event("s2", "stocking", at(6, 16), count=5, mean_weight_g=10.0, species="rainbow_trout")
    first, other = cycles(in_force([*WEEK, close, second]), "tank_001")
    assert (first.closed, other.closed) == (at(6, 15), None)
    assert (first.species, other.species) == ("atlantic_salmon", "rainbow_trout")
    assert tally(other, SUNDAY_EVENING).fish == 5


def test_figures_of_the_past_are_those_that_were_so_far():
    assert values(WEEK, now=at(2, 23))["stock_fish"] == 9_970
    assert [values(WEEK, now=at(day, 23))["feed_cycle"] for day in range(7)] == list(itertools.accumulate([20.0] * 7))
