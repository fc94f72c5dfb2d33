/*
 * What deploy/ names and the server does not have yet: it belongs to the relay between instances. The tests fail for each
 * that is there, so that this list ends when the relay is there.
 */

export const COMING_SETTINGS: readonly string[] = ['REDIS_URL'];

/** As `/metrics` will say it. */
export const COMING_METRICS = `
# TYPE indelible_redis_round_trip_seconds histogram
# TYPE indelible_relay_latency_seconds histogram
# TYPE indelible_subscribed_documents gauge
# TYPE indelible_gaps_repaired_total counter
# TYPE indelible_redis_degraded_seconds_total counter
# TYPE indelible_redis_reconnects_total counter
# TYPE indelible_relays_total counter
`;
