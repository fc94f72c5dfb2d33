import { Hono } from 'hono';
import { cors } from 'hono/cors';
import { afterEach, expect, test, vi } from 'vitest';
import type { CallerEnv } from '../../server/api/caller.ts';
import { Idempotency, type Done } from '../../server/api/idempotency.ts';
import { IndelibleError } from '../../server/errors.ts';
import { Requests } from '../../server/storage/requests.ts';
import { atTestEnd } from '../helpers/cleanup.ts';
import { STORAGE_KINDS, createStorage, openMigrated, silent } from '../helpers/storage.ts';

const SWEEP_MS = 60 * 60 * 1_000;

afterEach(() => void vi.useRealTimers());

test.each(STORAGE_KINDS)(
  '[U8] a key is kept for a day, and then its work is done again, on %s',
  async (kind) => {
    const { queries } = await openMigrated(await createStorage(kind));
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    const idempotency = new Idempotency(new Requests(queries), () => Promise.resolve(true), silent);
    atTestEnd(() => idempotency.close());
    const work = vi.fn<() => Promise<Done>>(() =>
      Promise.resolve({ answer: { status: 204, headers: {}, body: null } }),
    );
    const app = new Hono<CallerEnv>().post('/', (context) => idempotency.answer(context, work));
    const ask = async (key: string) =>
      (await app.request('/', { method: 'POST', headers: { 'Idempotency-Key': key } })).headers.has(
        'Idempotent-Replayed',
      );
    for (const [key, age] of [
      ['old', '24 hours 1 minute'],
      ['young', '23 hours 59 minutes'],
    ] as const) {
      expect(await ask(key)).toBe(false);
      await queries.query('update indelible.requests set created_at = now() - $2::interval where key = $1', [
        key,
        age,
      ]);
    }
    vi.advanceTimersByTime(SWEEP_MS);
    await vi.waitFor(async () => {
      const { rows } = await queries.query('select key from indelible.requests');
      expect(rows).toEqual([{ key: 'young' }]);
    }, 5_000);
    expect([await ask('young'), await ask('old')]).toEqual([true, false]);
    expect(work).toHaveBeenCalledTimes(3);
  },
);

test('[U8] what an attempt that was refused has said of the document is not what is answered', async () => {
  const requests = new Requests((await openMigrated(await createStorage('postgres'))).queries);
  const idempotency = new Idempotency(requests, () => Promise.resolve(true), silent);
  atTestEnd(() => idempotency.close());
  const answer = { status: 204, headers: { ETag: '"of another instance"' }, body: null };
  const app = new Hono<CallerEnv>().use(cors()).post('/', (context) =>
    idempotency.answer(context, async (attempt) => {
      // Another instance has been quicker, so that the document has moved on here.
      if (attempt !== undefined) await requests.save(attempt.record(answer));
      context.header('ETag', '"the present one"');
      throw new IndelibleError('document_changed');
    }),
  );
  const { status, headers } = await app.request('/', { method: 'POST', headers: { 'Idempotency-Key': 'k' } });
  expect([status, headers.get('etag')]).toEqual([204, '"of another instance"']);
});
