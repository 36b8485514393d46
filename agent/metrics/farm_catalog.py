"""The metrics of the farm: `business_*` of the tanks, and those of what is computed beside the readings."""

from __future__ import annotations

from typing import Final

from agent.metrics.definition import Definition

_TANK: Final = ("site", "tank", "species")
BUSINESS: Final = {
    "stock_fish": ("business_stock_fish", "Fish in the tank, by recorded events."),
    "mean_weight": ("business_mean_weight_grams", "The last mean weight of a fish."),
    "biomass": ("business_biomass_kg", "Fish times mean weight."),
    "feed_day": ("business_feed_day_kg", "Feed of the farm's day so far."),
    "feed_week": ("business_feed_week_kg", "Feed of the last seven days, today included."),
    "feed_cycle": ("business_feed_cycle_kg", "Feed since the cycle began."),
    "dead_day": ("business_dead_day_fish", "Dead fish of the farm's day so far."),
    "dead_cycle": ("business_dead_cycle_fish", "Dead fish since the cycle began."),
    "mortality_rate_day": ("business_mortality_rate_day_ratio", "Mortality rate of the day so far."),
    "mortality_times_usual": (
        "business_mortality_times_usual_ratio",
        "Mortality rate of the day against the mean of the 14 days before.",
    ),
    "mortality_rolling": ("business_mortality_rolling_percent", "Mortality over 30 days."),
    "mortality_cycle": ("business_mortality_cycle_percent", "Mortality since the cycle began."),
    "fcr_economic": ("business_fcr_economic_ratio", "Economic feed conversion ratio up to the last weighing."),
    "fcr_biological": ("business_fcr_biological_ratio", "Biological feed conversion ratio up to the last weighing."),
    "sgr": ("business_sgr_percent_per_day", "Specific growth rate between the last two weighings."),
    "tgc": ("business_tgc_ratio", "Thermal growth coefficient between the last two weighings."),
    "production_day": ("business_production_kg_per_day", "Daily production between the last two weighings."),
    "water_score": ("business_water_score_ratio", "Water-quality score of the last 7 days, 0 to 100 (CCME WQI)."),
    "water_compliance": ("business_water_compliance_percent", "Hourly medians of 7 days within their objectives."),
    "limiting_margin": (
        "business_limiting_margin_percent",
        "The smallest distance of a variable to its objective; below 0 outside.",
    ),
    "uptime_day": ("business_uptime_day_percent", "Minutes of the last 24 hours with a value, of the worst sensor."),
    "lice": ("business_lice_per_fish_ratio", "Adult female sea lice a fish, of the last 7 days' counts."),
    "lice_margin": ("business_lice_margin_ratio", "Limit of the day less adult female sea lice a fish, of the site."),
}
"""By figure: the metric and its help. A figure without a value has no sample."""

FARM: Final = (
    Definition(
        "tidegate_gateway_metrics_age_seconds",
        "gauge",
        "Age of a gateway's newest metrics; only from `tidegate fleet-metrics`.",
        ("gateway", "site"),
    ),
    Definition(
        "tidegate_derived_value", "gauge", "A derived quantity, while it has a value.", ("id", "tank", "unit")
    ),
    Definition("tidegate_derived_missing", "gauge", "Derived quantities without a value now."),
    Definition("tidegate_calibrations_overdue", "gauge", "Probes whose calibration is past its date."),
    Definition(
        "tidegate_farm_events_total",
        "counter",
        "Events reported, by outcome: recorded, known or refused.",
        ("outcome",),
    ),
    Definition(
        "tidegate_farm_values_unused_total", "counter", "Values that came too late, or were too many, for any figure."
    ),
    *(Definition(name, "gauge", text, _TANK) for name, text in BUSINESS.values()),
)
