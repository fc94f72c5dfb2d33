import { beforeAll, expect, test, vi } from 'vitest';
import { delivered } from '../helpers/metrics.ts';
import { startPostgres } from '../helpers/postgres.ts';
import { type StorageKind, createStorage } from '../helpers/storage.ts';
import type { PostgresCluster } from '../setup/postgres-cluster.ts';
import { Stage } from './stage.ts';
import { SEED, scaled } from './run.ts';

/** Sockets are closed over this time, while everybody types on. */
const DRAIN_MS = '500';

test.each<[kind: StorageKind, stops: number]>([
  ['postgres', scaled(2, 100)],
  ['embedded', scaled(1, 20)],
])(
  `[F6] on %s, %i times a server is told to stop while people type on: it commits everything, and ends with 0 (SEED=${SEED})`,
  async (kind, stops) => {
    const stage = await Stage.set({ storage: await createStorage(kind), env: { DRAIN_MS } });
    await stage.whileTyping(async () => {
      for (let stop = 0; stop < stops; stop += 1) {
        await stage.firstAck();
        expect(await stage.server.kill('SIGTERM', 30_000)).toEqual({ code: 0, signal: null });
        await stage.nothingIsLost();
        await stage.startServer();
      }
    });
    await stage.allIsWell();
  },
  scaled(120_000, 1_200_000),
);

let cluster: PostgresCluster;
beforeAll(async () => {
  cluster = await startPostgres();
});

const AWAY = {
  stopped: { strike: () => cluster.stop('immediate'), heal: () => cluster.start() },
  frozen: { strike: () => cluster.freeze(), heal: () => cluster.thaw() },
};

test.each(['stopped', 'frozen'] as const)(
  `[F7] with Postgres %s it ends with 1, names the documents whose edits nobody has acknowledged, and clients bring them (SEED=${SEED})`,
  async (how) => {
    const [one, two, idle] = ['one', 'two', 'idle'].map((name) => `stopping/${how}/${name}`);
    const stage = await Stage.set({
      storage: { databaseUrl: cluster.url },
      documents: [one, two, idle] as string[],
      env: { DRAIN_MS, SHUTDOWN_MS: '1500' },
    });
    await stage.whileTyping(() => stage.firstAck());
    // Nobody is offline, or would come back with something new.
    await stage.settled();
    const busy = stage.typists.filter(({ document }) => document !== idle);
    const { strike, heal } = AWAY[how];
    for (let stop = 0; stop < scaled(1, 20); stop += 1) {
      await strike();
      const acked = stage.ledger.ackedCount;
      const typing = setInterval(() => {
        for (const typist of busy) typist.type();
      }, 20);
      try {
        // Somebody may be offline.
        const hasSent = (document: string | undefined) =>
          busy.some((typist) => typist.document === document && typist.onTheirWay > 0);
        await vi.waitUntil(() => hasSent(one) && hasSent(two));
        await delivered(stage.server.url);
        expect(await stage.server.kill('SIGTERM')).toEqual({ code: 1, signal: null });
      } finally {
        clearInterval(typing);
        await heal();
      }
      const said = stage.server.stderr.splice(0).map((line) => line.split(' in: '));
      expect(said).toEqual([['indelible: edits were not committed, nor acknowledged,', expect.anything()]]);
      expect(said[0]?.[1]?.split(', ').toSorted()).toEqual([one, two]);
      expect(stage.ledger.ackedCount).toBe(acked);
      await stage.nothingIsLost();
      await stage.startServer();
      await stage.settled();
    }
    await stage.allIsWell();
  },
  scaled(60_000, 600_000),
);
