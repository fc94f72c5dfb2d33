import { Loading, type Measured } from './loading.ts';
import { Meter, type Resident, type Use } from './meter.ts';
import { Group, type PeerName } from './peers.ts';
import type { Seen } from './room.ts';
import { sumOf } from './rooms.ts';
import { played } from './rounds.ts';
import type { Workload } from './workload.ts';

/** What one peer has used, and how its clients have fared, while a load worked. */
export interface Round extends Measured {
  peer: PeerName;
  instances: number;
  workload: Workload;
  /** What all crowds have seen together. */
  all: Seen;
  use: Use;
  resident: Resident;
  /** Bytes of Postgres's log, until the servers had ended: what is stored late counts, too. */
  wal: number;
}

/** Servers that are started, loaded, measured, and ended. */
export async function playRound(
  peer: PeerName,
  planned: Workload,
  options: { instances?: number; workers?: number } = {},
): Promise<Round> {
  const workload = played(planned);
  const group = await Group.start(peer, options);
  const meter = await Meter.open(group);
  const loading = await Loading.start(group, workload);
  try {
    await loading.warm();
    await meter.start();
    const result = await loading.measured();
    const use = await meter.used();
    // Who is still busy with what has been sent collects no garbage.
    const resident = await meter.resident().catch(() => ({ before: NaN, after: NaN }));
    await loading.end();
    await group.end('SIGTERM');
    const wal = await meter.written();
    const instances = group.instances.length;
    return { ...result, peer, instances, workload, all: allOf(result), use, resident, wal };
  } finally {
    // What has failed would be in the way of the next one.
    await loading.end();
    await group.end('SIGKILL');
  }
}

/** What all crowds of a load have seen together. */
export function allOf({ seen }: Measured): Seen {
  return sumOf(seen);
}

/** What did not arrive, in words; otherwise nothing was measured. */
export function missing(result: Measured): string[] {
  const { undelivered, unacknowledged, stale } = allOf(result);
  const counts = {
    'edits undelivered': undelivered,
    'edits unacknowledged': unacknowledged,
    'cursors left behind': stale,
    'connections lost': result.cuts,
  };
  return Object.entries(counts).flatMap(([what, count]) => (count === 0 ? [] : [`${count} ${what}`]));
}
