import { describe, expect, test } from 'vitest';
import type { RequestRecord } from '../../server/storage/requests.ts';
import { RowWriter, type Row } from '../../server/storage/row-writer.ts';
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
    return { write, stored, attempts };
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
});
