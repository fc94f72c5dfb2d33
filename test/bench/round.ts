import { randomUUID } from 'node:crypto';
import { type RunningProcess, startNode } from '../helpers/processes.ts';
import type { DocumentKind } from './documents.ts';
import type { Load, LoadResult } from './load.ts';
import { Meter, type Use } from './meter.ts';
import { PROFILES, type PeerName, startGroup } from './peers.ts';

/** Until a load is in and warm; and, beyond its typing, until everything has arrived. */
const WARM_MS = 120_000;
const ARRIVAL_MS = 90_000;

const END_MS = 30_000;

/** What one peer has used, and how its clients have fared, while a load typed. */
export interface Round extends LoadResult {
  peer: PeerName;
  instances: number;
  kind: DocumentKind;
  use: Use;
}

/** Instances that are started, loaded, measured, and ended. */
export async function playRound(
  peer: PeerName,
  instances: number,
  load: Omit<Load, 'urls' | 'prefix'>,
): Promise<Round> {
  const group = await startGroup(peer, instances);
  const meter = await Meter.open(group);
  const urls = group.instances.map(({ url }) => url);
  const loading = await startLoad({ ...load, urls, prefix: `bench/${randomUUID()}` });
  await loading.line(/^warm$/, WARM_MS);
  await meter.start();
  const result = await measured(loading);
  const use = await meter.used();
  await loading.kill();
  // A profile is written by who ends by itself.
  const end = PROFILES === undefined ? 'SIGKILL' : 'SIGTERM';
  await Promise.all(group.instances.map((instance) => instance.kill(end, END_MS)));
  return { ...result, peer, instances, kind: load.kind, use };
}

export function startLoad(load: Load): Promise<RunningProcess> {
  return startNode(['test/bench/load.ts', JSON.stringify(load)]);
}

/** What a load that is warm has seen of what it then typed. */
export async function measured(loading: RunningProcess): Promise<LoadResult> {
  loading.signal('SIGUSR2');
  const [line] = await loading.line(/^\{.*\}$/, ARRIVAL_MS);
  return JSON.parse(line) as LoadResult;
}
