"""From the parts' own counters to samples of the metrics catalog."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent import __version__
from agent.metrics import Histogram, Sample
from agent.metrics.farm_catalog import BUSINESS
from agent.supervisor import State
from sync.shipper.link.circuit import CircuitState
from sync.shipper.link.waits import EVERYTHING
from sync.values import Lane

if TYPE_CHECKING:
    from collections.abc import Iterator

    from agent.app.hub import Hub
    from sync.shipper.stats import ShipperStats
    from sync.values import LogStats


def samples(hub: Hub) -> Iterator[Sample]:
    """Everything that the hub knows in figures. Reads memory only."""
    yield Sample("tidegate_build_info", 1, (__version__,))
    yield from _documents(hub)
    yield from _units(hub)
    yield from _intake(hub)
    yield from _sources(hub)
    yield from _log(hub)
    yield from _shipper(hub)
    yield from _link(hub)
    yield from _farm(hub)


def _documents(hub: Hub) -> Iterator[Sample]:
    current = hub.reload.current
    if current is not None:
        yield Sample("tidegate_config_info", 1, (current.revision[:12], current.source))
    yield Sample("tidegate_config_applied_total", hub.reload.applied)
    yield Sample("tidegate_config_refused_total", hub.reload.refused)


def _units(hub: Hub) -> Iterator[Sample]:
    for unit in hub.supervisor.reports():
        for state in State:
            yield Sample("tidegate_unit_state", float(unit.state is state), (unit.name, state.value))
        yield Sample("tidegate_unit_crashes_total", unit.crashes, (unit.name,))
        yield Sample("tidegate_unit_waits_total", unit.waits, (unit.name,))


def _intake(hub: Hub) -> Iterator[Sample]:
    for sensor_type, count in list(hub.intake.stats.by_type.items()):
        yield Sample("tidegate_readings_total", count, (sensor_type,))
    for problem, count in list(hub.intake.times.problems.items()):
        yield Sample("tidegate_at_problems_total", count, (problem,))
    for why, count in list(hub.intake.stats.not_judged.items()):
        yield Sample("tidegate_not_judged_total", count, (why,))
    for (quality, reason), count in list(hub.judgement.counts.items()):
        yield Sample("tidegate_doubted_readings_total", count, (quality, reason))
    yield Sample("tidegate_device_clocks_wrong", len(hub.intake.times.wrong()))
    for (source, reason), count in list(hub.intake.unreadable.counts.items()):
        yield Sample("tidegate_dropped_total", count, ("message", source, reason))
    yield Sample("tidegate_ack_latency_seconds", hub.ack_latency)
    yield Sample("tidegate_alerts_active", len(hub.alerts.active()))
    yield Sample("tidegate_alerts_published_total", hub.alerts.published)
    yield Sample("tidegate_alerts_unpublished_total", hub.alerts.publish_failures)


def _sources(hub: Hub) -> Iterator[Sample]:
    for name, driver in hub.sources.connections.items():
        stats = driver.stats
        yield Sample("tidegate_mqtt_connected", float(driver.connected), (name,))
        yield Sample("tidegate_mqtt_messages_total", sum(stats.received), (name,))
        yield Sample("tidegate_mqtt_acknowledged_total", stats.acknowledged, (name,))
        yield Sample("tidegate_mqtt_redelivered_total", stats.redelivered, (name,))
        yield Sample("tidegate_mqtt_recognised_total", stats.recognised, (name,))
        yield Sample("tidegate_mqtt_suspected_repeats_total", stats.suspected, (name,))
        if driver.window.size is not None:
            yield Sample("tidegate_mqtt_window_messages", driver.window.size, (name,))
        if (ceiling := driver.window.ceiling_per_s) is not None:
            yield Sample("tidegate_mqtt_ceiling_messages_per_second", ceiling, (name,))
        yield Sample("tidegate_mqtt_disconnects_total", stats.disconnects, (name,))
        yield Sample("tidegate_mqtt_sessions_lost_total", stats.sessions_lost, (name,))
        yield Sample("tidegate_mqtt_outstanding_messages", stats.outstanding, (name,))
    for name, camera in hub.sources.cameras.items():
        seen = camera.stats
        yield Sample("tidegate_camera_frames_total", seen.captured, (name,))
        yield Sample("tidegate_camera_restarts_total", seen.restarts, (name,))
        yield Sample("tidegate_dropped_total", seen.replaced, ("frame", name, "replaced by a newer frame"))
        yield Sample("tidegate_dropped_total", seen.unbuffered, ("frame", name, "all buffers in use"))
    for model, slots in hub.sources.slots.items():
        for reason, count in slots.dropped.items():
            yield Sample("tidegate_dropped_total", count, ("frame", model or "no model", reason))
    for name, runner in hub.sources.runners.items():
        yield Sample("tidegate_model_frames_total", runner.stats.frames, (name,))
        yield Sample("tidegate_dropped_total", runner.stats.refused, ("record", name, "the log did not take it"))
        yield Sample("tidegate_model_detections_total", runner.stats.detections, (name,))
        yield Sample("tidegate_model_inference_seconds", hub.sources.inference[name], (name,))


def _log(hub: Hub) -> Iterator[Sample]:
    stats = hub.log.stats()
    for lane, count in stats.depth.items():
        yield Sample("tidegate_log_depth_records", count, (lane.value,))
    for lane, count in stats.delivered.items():
        yield Sample("tidegate_log_delivered_records_total", count, (lane.value,))
    for lane, age_s in stats.oldest_pending_s.items():
        yield Sample("tidegate_log_oldest_undelivered_age_seconds", age_s, (lane.value,))
    yield from _forecast(stats)
    for reason, count in stats.lost.items():
        yield Sample("tidegate_dropped_total", count, ("record", "log", reason))
    yield Sample("tidegate_log_waiting_records", stats.waiting)
    yield Sample("tidegate_log_dead_letters", stats.dead_letters)
    yield Sample("tidegate_log_bytes", stats.bytes_used)
    yield Sample("tidegate_log_wal_bytes", stats.wal_bytes)
    yield Sample("tidegate_log_last_commit_age_seconds", stats.last_commit_age_s)
    yield Sample("tidegate_log_stalled", float(stats.stalled))
    yield Sample("tidegate_log_quarantined_files", stats.quarantined)
    yield Sample("tidegate_log_checkpoint_held", float(stats.checkpoint_held))
    yield Sample("tidegate_clock_trusted", float(stats.clock_trusted))
    yield Sample("tidegate_log_corrected_records_total", stats.corrected)
    commits = Histogram.from_cumulative(stats.commit_buckets, stats.commits, stats.commit_s_sum)
    yield Sample("tidegate_log_commit_duration_seconds", commits)
    yield Sample("tidegate_log_body_bytes_total", stats.body_bytes)
    yield Sample("tidegate_log_written_bytes_total", stats.written_bytes)


def _forecast(stats: LogStats) -> Iterator[Sample]:
    found = stats.forecast
    yield Sample("tidegate_log_bound_bytes", stats.bound_bytes)
    yield Sample("tidegate_log_room_bytes", found.room_bytes)
    for lane, count in found.pending_bytes.items():
        yield Sample("tidegate_log_undelivered_bytes", count, (lane.value,))
    for lane, rate in found.bytes_per_s.items():
        yield Sample("tidegate_log_incoming_bytes_per_second", rate, (lane.value,))
    for lane, full_s in found.full_s.items():
        yield Sample("tidegate_log_full_seconds", full_s, (lane.value,))
    yield Sample("tidegate_log_disk_short", float(stats.disk_short))
    if stats.disk_free_bytes is not None:
        yield Sample("tidegate_log_disk_free_bytes", stats.disk_free_bytes)
    if stats.written_per_day is not None:
        yield Sample("tidegate_log_written_bytes_per_day", stats.written_per_day)


def _shipper(hub: Hub) -> Iterator[Sample]:
    for lane, histogram in hub.uplink.latency.items():
        yield Sample("tidegate_delivery_latency_seconds", histogram, (lane.value,))
    if hub.uplink.shipper is None:
        return
    stats = hub.uplink.shipper.stats()
    for lane, count in stats.batches.items():
        yield Sample("tidegate_shipper_batches_total", count, (lane.value,))
    for lane, count in stats.body_bytes.items():
        yield Sample("tidegate_shipper_bytes_total", count, (lane.value,))
    for reason, count in stats.retries.items():
        yield Sample("tidegate_shipper_retries_total", count, (reason,))
    for lane in Lane:
        yield Sample("tidegate_shipper_looked_up_batches_total", stats.looked_up[lane], (lane.value,))
        yield Sample("tidegate_shipper_read_back_batches_total", stats.read_back[lane], (lane.value,))
        yield Sample("tidegate_shipper_possibly_repeated_records_total", stats.repeated[lane], (lane.value,))
    for topic, count in stats.lost_upstream.items():
        yield Sample("tidegate_shipper_lost_upstream_records_total", count, (topic,))
    yield Sample("tidegate_shipper_circuit_open", float(stats.circuit is not CircuitState.CLOSED))
    for state in CircuitState:
        yield Sample("tidegate_shipper_circuit_state", float(stats.circuit is state), (state.value,))
    yield from _waiting(hub, stats)


def _waiting(hub: Hub, stats: ShipperStats) -> Iterator[Sample]:
    for topic, trouble in {**stats.waiting, **({EVERYTHING: stats.fault} if stats.fault else {})}.items():
        yield Sample("tidegate_shipper_topic_waiting", 1, (topic, trouble.setting, trouble.broker))
    depth = hub.log.stats().depth
    for lane in stats.limit_bytes:
        waits = lane in stats.holds and depth.get(lane, 0) > 0
        yield Sample("tidegate_shipper_lane_waiting", float(waits), (lane.value,))
        yield Sample("tidegate_shipper_batch_limit_bytes", stats.limit_bytes[lane], (lane.value,))


def _link(hub: Hub) -> Iterator[Sample]:
    for line, moved in hub.uplink.traffic.moved().items():
        yield Sample("tidegate_link_bytes_total", moved.up, (line, "up"))
        yield Sample("tidegate_link_bytes_total", moved.down, (line, "down"))
    for line, count in hub.uplink.traffic.dials.items():
        yield Sample("tidegate_link_connections_total", count, (line,))
    stats = hub.uplink.meter.stats()
    for line, count in stats.today.items():
        yield Sample("tidegate_link_today_bytes", count, (line,))
    if stats.idle_bytes_per_day is not None:
        yield Sample("tidegate_link_idle_bytes_per_day", stats.idle_bytes_per_day)
    if stats.budget.bytes_per_day is not None and stats.left is not None:
        yield Sample("tidegate_link_budget_bytes", stats.budget.bytes_per_day)
        yield Sample("tidegate_link_budget_left_bytes", stats.left)
        runs_out_s = float("inf") if stats.runs_out_s is None else stats.runs_out_s
        yield Sample("tidegate_link_budget_runs_out_seconds", runs_out_s)


def _farm(hub: Hub) -> Iterator[Sample]:
    farm = hub.farm
    for name, (settings, found) in farm.water.figures.items():
        if found.value is not None:
            yield Sample("tidegate_derived_value", found.value, (name, settings.tank_id, found.unit))
    if farm.water.figures:
        missing = sum(found.value is None for _, found in farm.water.figures.values())
        yield Sample("tidegate_derived_missing", missing)
    if farm.water.calibrations:
        yield Sample("tidegate_calibrations_overdue", sum(one["overdue"] for one in farm.calibrations()))
    if not farm.configured:
        return
    for outcome in ("recorded", "known", "refused"):
        yield Sample("tidegate_farm_events_total", getattr(farm.register, outcome), (outcome,))
    yield Sample("tidegate_farm_values_unused_total", farm.hours.too_late)
    for tank in farm.register.figures.values():
        labels = (hub.identity.site, tank.tank_id, tank.species)
        for one in tank.figures:
            if one.value is not None and one.name in BUSINESS:
                yield Sample(BUSINESS[one.name][0], one.value, labels)
