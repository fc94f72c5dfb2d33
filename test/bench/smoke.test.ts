import { beforeAll, describe, expect, test } from 'vitest';
import { connectHocuspocus, connectYWebsocket } from '../helpers/clients.ts';
import { CASES, type Case } from './cases.ts';
import { TEXT } from './documents.ts';
import { Loading } from './loading.ts';
import { Group, PEERS, PEER_NAMES } from './peers.ts';
import { allOf, missing } from './round.ts';
import { type Workload, smokeOf } from './workload.ts';

/** The load waits for half a minute, and then says what is missing. */
const PATIENCE_MS = 90_000;

describe('the cases of the benchmark', () => {
  const [restarting, others] = [true, false].map((isRestarting) =>
    CASES.filter(({ workload }) => (workload.restart !== undefined) === isRestarting),
  ) as [Case[], Case[]];
  let group: Group;

  beforeAll(async () => {
    group = await Group.start('ours');
  });

  test.for(others.map(({ name, workload }) => [name, workload] as const))(
    '[J8] %s: everything arrives and nothing is lost',
    { timeout: PATIENCE_MS },
    async ([, workload]) => {
      expect(await played(group, workload)).toEqual([]);
    },
  );

  test(
    '[J8] after restarts of the server everything arrives and nothing is lost',
    { timeout: PATIENCE_MS },
    async () => {
      // In one test: with it ends what is started in it.
      for (const { name, workload } of restarting) expect(await played(group, workload), name).toEqual([]);
    },
  );
});

describe('the peers of the benchmark', () => {
  const workload: Workload = {
    crowds: [{ documents: 1, people: 5, writers: 2, rate: 20, movers: 5, moves: 10 }],
    seconds: 1,
    warmUp: { seconds: 0 },
  };

  test.for(PEER_NAMES)(
    '[J3] what arrives at the clients of the load a real provider has, too: %s',
    { timeout: PATIENCE_MS },
    async (peer) => {
      const group = await Group.start(peer);
      const loading = await Loading.start(group, workload);
      await loading.warm();
      const [url = ''] = group.urls;
      const document = `${loading.prefix}/0/0`;
      const provider =
        PEERS[peer].dialect === 'hocuspocus'
          ? connectHocuspocus(url, document)
          : connectYWebsocket(url, encodeURIComponent(document));
      await provider.synced();
      const result = await loading.measured();
      expect(missing(result)).toEqual([]);
      const { sent } = allOf(result);
      await provider.sees(
        (doc, awareness) => doc.getText(TEXT).length === sent && awareness.getStates().size >= 5,
      );
    },
  );
});

/** @returns what did not arrive */
async function played(group: Group, workload: Workload): Promise<string[]> {
  const loading = await Loading.start(group, smokeOf(workload));
  await loading.warm();
  const result = await loading.measured();
  await loading.end();
  return missing(result);
}
