import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { Metrics } from '../../server/metrics.ts';
import { checksumOf } from '../../server/storage/checksum.ts';
import { type Database } from '../../server/storage/database.ts';
import { UpdateLog, type UpdateLogEvents } from '../../server/storage/update-log.ts';
import { updateOf } from '../helpers/editor.ts';
import { type StorageKind, createStorage, openMigrated, silent } from '../helpers/storage.ts';

/** As in the update log. */
const COMMIT_INTERVAL_MS = 5;

interface TestLog {
  log: UpdateLog;
  /** What `committed` was called with. */
  commits: { sequence: number; documents: string[] }[];
  refused: string[];
  full: boolean[];
}

/** Registers the tests that the update log has to pass on every kind of storage. */
export function updateLogContract(kind: StorageKind): void {
  describe(`the update log on ${kind}`, () => {
    let database: Database;
    beforeAll(async () => {
      database = await openMigrated(await createStorage(kind));
    });
    const logs: UpdateLog[] = [];
    afterAll(() => {
      for (const log of logs) log.close();
    });

    function createTestLog(
      options: Partial<{ limitBytes: number; events: Partial<UpdateLogEvents> }> = {},
    ): TestLog {
      const commits: TestLog['commits'] = [];
      const refused: string[] = [];
      const full: boolean[] = [];
      const log = new UpdateLog(database.committer, {
        limitBytes: options.limitBytes ?? 1024 * 1024,
        events: {
          committed: (sequence, documents) => commits.push({ sequence, documents: [...documents] }),
          refused: (document) => refused.push(document),
          repeated: () => {},
          full: (isFull) => full.push(isFull),
          ...options.events,
        },
        log: silent,
        metrics: new Metrics(),
      });
      logs.push(log);
      return { log, commits, refused, full };
    }

    async function rowsOf(document: string) {
      const { rows } = await database.queries.query<{
        author: string | null;
        created_at: Date;
        checksum: number;
        update: Buffer;
      }>(
        `select u.author, u.created_at, u.checksum, u.update from indelible.updates u
           join indelible.documents d on d.id = u.document where d.name = $1 order by u.id`,
        [document],
      );
      return rows;
    }

    test('[L1] an update is one row with document, author, time and checksum', async () => {
      const { log } = createTestLog();
      const before = Date.now();
      const [first, second] = [updateOf('one'), updateOf('two')];
      log.append('log/rows', first, 'alice');
      log.append('log/rows', second, null);
      await log.flush();

      const rows = await rowsOf('log/rows');
      expect(rows.map(({ author }) => author)).toEqual(['alice', null]);
      expect(rows.map(({ update }) => new Uint8Array(update))).toEqual([first, second]);
      expect(rows.map(({ checksum }) => checksum)).toEqual([first, second].map(checksumOf));
      for (const { created_at: time } of rows) {
        expect(time.getTime()).toBeGreaterThanOrEqual(before);
        expect(time.getTime()).toBeLessThanOrEqual(Date.now());
      }
    });

    test('[L1] bytes of every value and length survive the way to the row', async () => {
      const { log } = createTestLog();
      const updates = [0, 1, 2, 255, 256, 70_000].map((length) =>
        Uint8Array.from({ length }, (_, index) => (index * 7 + length) % 256),
      );
      for (const update of updates) log.append('log/bytes', update, null);
      await log.flush();
      const stored = await rowsOf('log/bytes');
      expect(stored.map(({ update }) => new Uint8Array(update))).toEqual(updates);
    });

    test('[L2] what is appended in one turn is one commit, of all documents', async () => {
      const { log, commits } = createTestLog();
      for (let index = 0; index < 30; index += 1)
        log.append(`log/turn ${index % 3}`, updateOf(String(index)), null);
      await log.flush();
      expect(commits).toEqual([{ sequence: 30, documents: ['log/turn 0', 'log/turn 1', 'log/turn 2'] }]);
    });

    test('[L2] the first update after silence is committed at once, those that follow wait for the interval', async () => {
      const { log, commits } = createTestLog();
      await warmUp(log);
      await silence(log);
      // The clock stands still, so that a commit takes no time and the interval is all there is to wait for.
      const clock = vi.spyOn(performance, 'now').mockReturnValue(performance.now());
      const setTimeoutSpy = vi.spyOn(globalThis, 'setTimeout');
      // The driver has timers of its own.
      const waits = () => setTimeoutSpy.mock.calls.filter(([, ms]) => ms === COMMIT_INTERVAL_MS).length;
      try {
        setTimeoutSpy.mockClear();
        log.append('log/pace', updateOf('first'), null);
        expect(waits(), 'at once: no timer').toBe(0);
        await log.flush();
        const done = commits.length;
        log.append('log/pace', updateOf('second'), null);
        expect(waits(), 'after the interval').toBe(1);
        await new Promise((resolve) => setImmediate(resolve));
        log.append('log/pace', updateOf('third'), null);
        await log.flush();
        expect(commits.length - done, 'both in one commit, though not of one turn').toBe(1);
      } finally {
        setTimeoutSpy.mockRestore();
        clock.mockRestore();
      }
    });

    test('[L2] numbers grow with every update, and `committed` follows them', async () => {
      const { log, commits } = createTestLog();
      const numbers = [1, 2, 3].map((index) => log.append('log/numbers', updateOf(String(index)), null));
      expect(numbers).toEqual([1, 2, 3]);
      expect(log.committed).toBe(0);
      expect(log.isWaiting('log/numbers')).toBe(true);
      expect(log.waitingDocuments()).toEqual(['log/numbers']);
      await log.flush();
      expect(log.committed).toBe(3);
      expect(log.isWaiting('log/numbers')).toBe(false);
      expect(commits.at(-1)?.sequence).toBe(3);
    });

    test('[L5] it says when it is full, and that there is room again at half the limit', async () => {
      const { log, full } = createTestLog({ limitBytes: 10_000 });
      log.append('log/full', new Uint8Array(4_000), null);
      expect(full).toEqual([]);
      log.append('log/full', new Uint8Array(6_000), null);
      expect(full).toEqual([true]);
      log.append('log/full', new Uint8Array(6_000), null);
      expect(full, 'nothing is dropped, and it is said once').toEqual([true]);
      await log.flush();
      expect(full).toEqual([true, false]);
      expect(await rowsOf('log/full')).toHaveLength(3);
    });

    test('[L6] updates that Postgres refuses hold up their own document only', async () => {
      const { log, refused, commits } = createTestLog();
      // A name that no door lets in: Postgres cannot store a NUL in a text.
      log.append('log/good', updateOf('before'), null);
      log.append('log/bad\0name', updateOf('bad'), null);
      log.append('log/good', updateOf('after'), null);
      await log.flush();
      expect(refused).toEqual(['log/bad\0name']);
      expect(await rowsOf('log/good')).toHaveLength(2);
      expect(commits.at(-1)?.sequence).toBe(3);
      expect(log.waitingDocuments()).toEqual([]);
    });
  });
}

/** Lets the ids be looked up, so that only commits are counted. */
async function warmUp(log: UpdateLog): Promise<void> {
  log.append('log/pace', updateOf('warm'), null);
  await log.flush();
}

/** Waits until the commit interval has passed, so that the next update meets silence. */
async function silence(log: UpdateLog): Promise<void> {
  const start = performance.now();
  await vi.waitUntil(() => performance.now() - start > 50, { interval: 5 });
  expect(log.waitingDocuments()).toEqual([]);
}
