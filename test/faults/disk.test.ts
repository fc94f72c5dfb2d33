import { expect, test, vi } from 'vitest';
import { memoryOf } from '../helpers/memory.ts';
import { valueOf } from '../helpers/metrics.ts';
import { canMount, fillDisk } from '../helpers/mounts.ts';
import { queryOnce, startPostgres } from '../helpers/postgres.ts';
import { readiness } from '../helpers/readiness.ts';
import type { PostgresCluster } from '../setup/postgres-cluster.ts';
import { percentiles } from './figures.ts';
import { FIRST_ACK_MS, SEED, scaled } from './run.ts';
import { Stage } from './stage.ts';
import { hasNoMoreMemory } from './verdict.ts';

const DISK_BYTES = 128 * 1024 * 1024;
const ROUNDS = scaled(2, 20);
/** Attempts to commit while the disk is full. */
const ATTEMPTS = 5;
/** Of Postgres: a table cannot be extended. */
const DISK_FULL = '53100';

/** Neither vacuum nor a checkpoint is to make room while the disk is full. */
const SETTINGS = {
  autovacuum: 'off',
  checkpoint_timeout: '1h',
  min_wal_size: '32MB',
  max_wal_size: '64MB',
  // A crash ends it. By itself it may come back while the disk is full: its recovery removes WAL, and with that room it commits, till
  // it crashes again.
  restart_after_crash: 'off',
};

/** Writes WAL until there is no room for more of it, and Postgres ends. */
async function exhaustWal(cluster: PostgresCluster): Promise<void> {
  while (cluster.isRunning) {
    // The first writes that find no room may just fail: only what has to be flushed is fatal.
    const written = queryOnce(cluster.url, `select pg_logical_emit_message(true, '', ''), pg_switch_wal()`);
    await written.catch(() => {});
  }
}

/** When Postgres has ended for want of room, somebody starts it. */
async function comeBack(cluster: PostgresCluster): Promise<void> {
  await vi.waitFor(
    async () => {
      if (!cluster.isRunning) await cluster.start();
      await queryOnce(cluster.url, 'select 1');
    },
    { timeout: 60_000 },
  );
}

/** Holds while the disk is full: people type, nothing is acknowledged, it is said, and memory stays as it is. */
async function nothingIsAcked(stage: Stage): Promise<void> {
  const { ledger, server } = stage;
  const failures = () => valueOf(server.url, 'indelible_commit_failures_total');
  const attempt = async (count: number) => {
    const failed = await failures();
    await vi.waitFor(async () => expect(await failures()).toBeGreaterThan(failed + count), 20_000);
  };
  // The first, since an ack may have been on its way when the disk was filled.
  await attempt(1);
  const { ackedCount, typedCount } = ledger;
  await attempt(ATTEMPTS);
  expect(ledger.typedCount).toBeGreaterThan(typedCount);
  expect(ledger.ackedCount).toBe(ackedCount);
  expect(await readiness(server.url)).toMatchObject({ code: 503, database: 'away' });
}

test.skipIf(!(await canMount())).for(['a table', 'the log of Postgres'] as const)(
  `[F44] when there is no room for more of %s nothing is acknowledged, and commits resume by themselves when there is (SEED=${SEED})`,
  { timeout: scaled(120_000, 900_000) },
  async (what, { task }) => {
    const cluster = await startPostgres({ settings: SETTINGS, diskBytes: DISK_BYTES });
    const stage = await Stage.set({ storage: { databaseUrl: cluster.url } });
    const before = await memoryOf(stage.server);
    const firstAcks: number[] = [];
    for (let round = 0; round < ROUNDS; round += 1) {
      const disk = await fillDisk(cluster.dataDir);
      await stage.whileTyping(async () => {
        if (what !== 'a table') await exhaustWal(cluster);
        await nothingIsAcked(stage);
        await hasNoMoreMemory(before, stage.server);
        await disk.free();
        await comeBack(cluster);
        firstAcks.push(await stage.firstAck());
      });
      await stage.settled();
    }
    if (what === 'a table') await stage.server.line(new RegExp(`"code":"${DISK_FULL}"`));
    task.meta.figures = [
      { what: `first ack when there is room for ${what} again`, value: percentiles(firstAcks) },
    ];
    expect(Math.max(...firstAcks)).toBeLessThan(FIRST_ACK_MS);
    await stage.allIsWell();
  },
);
