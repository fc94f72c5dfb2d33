import { expect, test, vi } from 'vitest';
import { ALONE } from '../../server/cluster/cluster.ts';
import { LogFollower } from '../../server/documents/log-follower.ts';
import { InstanceRegistry } from '../../server/storage/instance-registry.ts';
import { type CommittedUpdate, LogReader } from '../../server/storage/log-reader.ts';
import { atTestEnd } from '../helpers/cleanup.ts';
import { updateOf } from '../helpers/editor.ts';
import { createStorage, insertRows, openMigrated, silent } from '../helpers/storage.ts';

test('[N7] what is committed to a document while it is being opened is read when it is open', async () => {
  const database = await openMigrated(await createStorage('postgres'));
  let open = ['open'];
  const taken: CommittedUpdate[] = [];
  const follower = new LogFollower({
    cluster: { ...ALONE, isThere: false },
    registry: new InstanceRegistry(database.queries, 'this'),
    reader: new LogReader(database.queries),
    documents: () => open,
    behind: () => [],
    caughtUp() {},
    onCommitted: (updates) => taken.push(...updates),
    log: silent,
  });
  await follower.start();
  atTestEnd(() => follower.close());
  const takes = (document: string) =>
    vi.waitUntil(() => taken.some((update) => update.document === document), 5_000);

  // Its snapshot and tail have been read by now, and it is not among those that are open.
  await insertRows(database, 'opening', [updateOf('edit')]);
  await insertRows(database, 'open', [updateOf('edit')]);
  await takes('open');
  open = ['open', 'opening'];
  await takes('opening');
  expect(new Set(taken.map(({ document }) => document))).toEqual(new Set(['open', 'opening']));
});
