import { afterEach, expect, test, vi } from 'vitest';
import { ALONE } from '../../server/cluster/cluster.ts';
import { LogFollower } from '../../server/documents/log-follower.ts';
import { InstanceRegistry } from '../../server/storage/instance-registry.ts';
import { type CommittedUpdate, LogReader } from '../../server/storage/log-reader.ts';
import { atTestEnd } from '../helpers/cleanup.ts';
import { updateOf } from '../helpers/editor.ts';
import { createStorage, insertRows, openMigrated, silent } from '../helpers/storage.ts';

/** Longer than places are kept for nobody. */
const LONG_MS = 30_000;

afterEach(() => vi.useRealTimers());

/** Follows a log of two documents. The database is there, other instances are not. */
async function startFollower() {
  const database = await openMigrated(await createStorage('postgres'));
  const registry = new InstanceRegistry(database.queries, 'this');
  const beat = vi.spyOn(registry, 'beat');
  const documents = { open: ['open'], loadingSince: Infinity };
  const taken: CommittedUpdate[] = [];
  const follower = new LogFollower({
    cluster: { ...ALONE, isThere: false },
    registry,
    reader: new LogReader(database.queries),
    documents: () => documents.open,
    loadingSince: () => documents.loadingSince,
    behind: () => [],
    caughtUp() {},
    onCommitted: (updates) => taken.push(...updates),
    log: silent,
  });
  await follower.start();
  atTestEnd(() => follower.close());
  return {
    documents,
    takes: (document: string) =>
      vi.waitUntil(() => taken.some((update) => update.document === document), 5_000),
    commit: (document: string) => insertRows(database, document, [updateOf('edit')]),
    looksAgain: () => {
      const beats = beat.mock.calls.length;
      return vi.waitUntil(() => beat.mock.calls.length > beats, 5_000);
    },
    names: () => [...new Set(taken.map(({ document }) => document))],
  };
}

test('[N7] what is committed to a document while it is being opened is read when it is open', async () => {
  const { documents, takes, commit, names } = await startFollower();
  // Its snapshot and tail have been read by now, and it is not among those that are open.
  await commit('opening');
  await commit('open');
  await takes('open');
  documents.open = ['open', 'opening'];
  await takes('opening');
  expect(names()).toEqual(['open', 'opening']);
});

test('[N7] so is what is committed while a document takes long to load', async () => {
  vi.useFakeTimers({ toFake: ['performance'] });
  const { documents, takes, commit, looksAgain, names } = await startFollower();
  documents.loadingSince = performance.now();
  await commit('opening');
  for (let time = 0; time < 3; time += 1) {
    vi.advanceTimersByTime(LONG_MS);
    await looksAgain();
  }
  await commit('open');
  await takes('open');
  Object.assign(documents, { open: ['open', 'opening'], loadingSince: Infinity });
  await takes('opening');
  expect(names()).toEqual(['open', 'opening']);
});
