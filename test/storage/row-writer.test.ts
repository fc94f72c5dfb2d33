import { describe, expect, test, vi } from 'vitest';
import type { RequestRecord } from '../../server/storage/requests.ts';
import { RowWriter, type Row } from '../../server/storage/row-writer.ts';
import { Tombstones } from '../../server/storage/tombstones.ts';
import { updateOf } from '../helpers/editor.ts';
import { STORAGE_KINDS, createStorage, openMigrated } from '../helpers/storage.ts';

const NAME = 'rows/keyed';

function recordOf(attempt: string): RequestRecord {
  return {
    user: '',
    key: 'key',
    attempt,
    fingerprint: 'same',
    answer: { status: 204, headers: {}, body: null },
  };
}

function rowOf(text: string, attempt?: string): Row {
  const request = attempt === undefined ? undefined : { record: recordOf(attempt), onRepeated: () => false };
  return { document: NAME, update: updateOf(text), author: null, time: Date.now(), request };
}

const hexOf = ({ update }: Row) => Buffer.from(update).toString('hex');

describe.each(STORAGE_KINDS)('rows of requests with keys on %s', (kind) => {
  /** A batch with a keyed row and another one. */
  async function open() {
    const { queries } = await openMigrated(await createStorage(kind));
    const writer = new RowWriter();
    const write = (...rows: Row[]) => queries.use((connection) => writer.write(connection, rows));
    const stored = async () => {
      const { rows } = await queries.query<{ update: Buffer }>(
        'select update from indelible.updates order by id',
      );
      return rows.map(({ update }) => update.toString('hex'));
    };
    const attempts = async () =>
      (await queries.query<{ attempt: string }>('select attempt from indelible.requests')).rows.map(
        ({ attempt }) => attempt,
      );
    const remove = () => new Tombstones(queries).delete(NAME);
    return { write, stored, attempts, remove };
  }

  test('[L11] a batch that was committed and whose answer was lost is written again, and then it is done', async () => {
    const { write, stored, attempts } = await open();
    const [keyed, plain] = [rowOf('keyed', 'first'), rowOf('plain')];
    expect(await write(keyed, plain)).toEqual({ deleted: new Set(), repeated: [] });
    // As it is after a connection that was cut between the commit and its answer.
    expect(await write(keyed, plain)).toEqual({ deleted: new Set(), repeated: [] });
    expect(await stored()).toEqual([keyed, plain, keyed, plain].map(hexOf));
    expect(await attempts()).toEqual(['first']);
  });

  test('[L11] another attempt at the same request is not written, and that is told', async () => {
    const { write, stored, attempts } = await open();
    const [first, second, plain] = [rowOf('keyed', 'first'), rowOf('keyed', 'second'), rowOf('plain')];
    await write(first);
    const { repeated } = await write(second, plain);
    expect(repeated).toEqual([second.request]);
    expect(await stored()).toEqual([first, plain].map(hexOf));
    expect(await attempts()).toEqual(['first']);
  });

  test('[L11] [O9] of a document that is deleted nothing is said to be repeated', async () => {
    const { write, stored, remove } = await open();
    const [first, second] = [rowOf('keyed', 'first'), rowOf('keyed', 'second')];
    await write(first);
    await remove();
    expect(await write(second)).toEqual({ deleted: new Set([NAME]), repeated: [] });
    expect(await stored()).toEqual([first].map(hexOf));
  });
});

test('[L11] an attempt that another instance records at the same moment is written, too', async () => {
  const { queries } = await openMigrated(await createStorage('postgres'));
  const [writer, taker] = [new RowWriter(), new RowWriter()];
  const [keyed, plain] = [rowOf('keyed', 'first'), rowOf('plain')];
  // They know the document then.
  for (const each of [writer, taker]) await queries.use((own) => each.write(own, [plain]));
  const written = await queries.transaction(async (connection) => {
    await taker.write(connection, [keyed]);
    const writing = queries.use((own) => writer.write(own, [keyed, plain]));
    const waits = `select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`;
    await vi.waitFor(async () => expect((await queries.query(waits)).rowCount).toBe(1), 10_000);
    return { writing };
  });
  expect(await written.writing).toEqual({ deleted: new Set(), repeated: [] });
  const { rows } = await queries.query('select from indelible.updates where update = $1', [keyed.update]);
  expect(rows, 'by both').toHaveLength(2);
});
