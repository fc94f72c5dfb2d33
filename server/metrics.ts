import { AggregatorRegistry, Counter, Gauge, Histogram, Registry, collectDefaultMetrics } from 'prom-client';

/** Seconds; from half a millisecond (a loopback hop) to ten seconds (a database that has just come back). */
const LATENCY_BUCKETS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];
/** Seconds that a socket stays open: from a failed handshake to a working day. */
const DURATION_BUCKETS = [0.1, 1, 10, 60, 600, 3600, 14_400, 43_200];
const BATCH_BUCKETS = [1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000];

/** Counts what happens for each frame, until it is asked for: a counter of prom-client takes half a microsecond each time. */
class Tally {
  #count = 0;

  inc(by = 1): void {
    this.#count += by;
  }

  /** @returns what was counted since the last time */
  take(): number {
    const count = this.#count;
    this.#count = 0;
    return count;
  }
}

/** All metrics of one server; each server has a registry of its own, since several can run in one process. */
export class Metrics {
  /** One of several processes answers the one that adds their metrics up. */
  readonly registry: Registry = ofAllProcesses === undefined ? new Registry() : new AggregatorRegistry();
  readonly #in = { registers: [this.registry] };

  readonly connections = new Gauge({
    name: 'indelible_connections',
    help: 'Open sockets by protocol',
    labelNames: ['protocol'],
    ...this.#in,
  });
  readonly documents = new Gauge({
    name: 'indelible_documents',
    help: 'Documents in memory',
    ...this.#in,
  });
  readonly updates = new Counter({
    name: 'indelible_updates_total',
    help: 'Edits: frames received, frames sent to clients',
    labelNames: ['direction'],
    ...this.#in,
    collect: () => {
      this.updates.inc({ direction: 'in' }, this.updatesIn.take());
      this.updates.inc({ direction: 'out' }, this.updatesOut.take());
    },
  });
  readonly updatesIn = new Tally();
  readonly updatesOut = new Tally();
  readonly bytes = new Counter({
    name: 'indelible_socket_bytes_total',
    help: 'Payload bytes of WebSocket frames',
    labelNames: ['direction'],
    ...this.#in,
    collect: () => {
      this.bytes.inc({ direction: 'in' }, this.bytesIn.take());
      this.bytes.inc({ direction: 'out' }, this.bytesOut.take());
    },
  });
  readonly bytesIn = new Tally();
  readonly bytesOut = new Tally();
  readonly refused = new Counter({
    name: 'indelible_refused_total',
    help: 'Upgrades, frames and documents that were refused, by error code',
    labelNames: ['code'],
    ...this.#in,
  });
  readonly throttled = new Counter({
    name: 'indelible_throttled_frames_total',
    help: 'Frames after which a socket was read no further for a while, since it or its user sent too much',
    ...this.#in,
  });
  readonly sparedPresence = new Counter({
    name: 'indelible_spared_presence_frames_total',
    help: 'Presence frames that a slow client was spared',
    ...this.#in,
  });
  readonly claimedClocks = new Counter({
    name: 'indelible_claimed_clocks_total',
    help: 'Edits whose clocks something else had taken: logged, and hidden by that until it is taken out',
    ...this.#in,
  });
  readonly opens = new Counter({
    name: 'indelible_socket_opens_total',
    help: 'Sockets opened',
    labelNames: ['protocol'],
    ...this.#in,
  });
  readonly closes = new Counter({
    name: 'indelible_socket_closes_total',
    help: 'Sockets closed, by close code',
    labelNames: ['code'],
    ...this.#in,
  });
  readonly connectionSeconds = new Histogram({
    name: 'indelible_connection_duration_seconds',
    help: 'How long sockets were open',
    buckets: DURATION_BUCKETS,
    ...this.#in,
  });
  readonly deliverySeconds = new Histogram({
    name: 'indelible_delivery_latency_seconds',
    help: 'From the frame of an edit to its broadcast to the other clients',
    buckets: LATENCY_BUCKETS,
    ...this.#in,
  });
  readonly ackSeconds = new Histogram({
    name: 'indelible_ack_latency_seconds',
    help: 'From the frame of an edit to its ack, that is its commit',
    buckets: LATENCY_BUCKETS,
    ...this.#in,
  });
  readonly commitSeconds = new Histogram({
    name: 'indelible_commit_seconds',
    help: 'Time of one commit of the update log',
    buckets: LATENCY_BUCKETS,
    ...this.#in,
  });
  readonly commitRows = new Histogram({
    name: 'indelible_commit_rows',
    help: 'Updates in one commit of the update log',
    buckets: BATCH_BUCKETS,
    ...this.#in,
  });
  readonly commitFailures = new Counter({
    name: 'indelible_commit_failures_total',
    help: 'Commits that failed and were tried again',
    ...this.#in,
  });
  readonly queueRows = new Gauge({
    name: 'indelible_queue_updates',
    help: 'Updates that wait for their commit',
    ...this.#in,
  });
  readonly queueBytes = new Gauge({
    name: 'indelible_queue_bytes',
    help: 'Bytes of the updates that wait for their commit',
    ...this.#in,
  });
  readonly loadSeconds = new Histogram({
    name: 'indelible_load_seconds',
    help: 'Time to read a document from the database into memory',
    buckets: LATENCY_BUCKETS,
    ...this.#in,
  });
  readonly folds = new Counter({
    name: 'indelible_folds_total',
    help: 'Update logs folded into a snapshot, by result',
    labelNames: ['result'],
    ...this.#in,
  });
  readonly quarantined = new Counter({
    name: 'indelible_quarantined_updates_total',
    help: 'Stored updates set aside because they cannot be read',
    ...this.#in,
  });
  readonly rebuilds = new Counter({
    name: 'indelible_document_rebuilds_total',
    help: 'Documents dropped from memory and rebuilt from storage after an update threw',
    ...this.#in,
  });

  readonly subscribedDocuments = new Gauge({
    name: 'indelible_subscribed_documents',
    help: 'Documents of which this instance hears what others say',
    ...this.#in,
  });
  readonly relays = new Counter({
    name: 'indelible_relays_total',
    help: 'Messages with edits to other instances; what a turn of the event loop brings to a document is one',
    ...this.#in,
  });
  readonly relaySeconds = new Histogram({
    name: 'indelible_relay_latency_seconds',
    help: 'From the sending of an edit by another instance to its arrival here, by the clocks of both',
    buckets: LATENCY_BUCKETS,
    ...this.#in,
  });
  readonly redisRoundTripSeconds = new Histogram({
    name: 'indelible_redis_round_trip_seconds',
    help: 'From a heartbeat to its arrival back here through Redis',
    buckets: LATENCY_BUCKETS,
    ...this.#in,
  });
  readonly redisReconnects = new Counter({
    name: 'indelible_redis_reconnects_total',
    help: 'How often Redis was there again, the first time included',
    ...this.#in,
  });
  readonly degradedSeconds = new Counter({
    name: 'indelible_redis_degraded_seconds_total',
    help: 'Seconds without Redis, in which people at other instances are seen later',
    ...this.#in,
  });
  readonly gaps = new Counter({
    name: 'indelible_gaps_repaired_total',
    help: 'Documents that were compared with other instances, since something they said had not arrived',
    ...this.#in,
  });

  constructor() {
    if (ofAllProcesses !== undefined) AggregatorRegistry.setRegistries([this.registry, processMetrics()]);
  }

  /** All metrics in the Prometheus text format, those of the process included. */
  async text(): Promise<string> {
    return ofAllProcesses?.() ?? Registry.merge([this.registry, processMetrics()]).metrics();
  }
}

/** Has servers that are created later in this process tell the metrics of all processes that serve their port. */
export function answerForAll(collect: () => Promise<string>): void {
  ofAllProcesses = collect;
}

let ofAllProcesses: (() => Promise<string>) | undefined;

/** CPU, memory and event loop belong to the process, not to one server: they are collected once. */
let processRegistry: Registry | undefined;

function processMetrics(): Registry {
  if (processRegistry === undefined) {
    processRegistry = new Registry();
    collectDefaultMetrics({ register: processRegistry });
  }
  return processRegistry;
}
