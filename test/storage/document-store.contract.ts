import { pino } from 'pino';
import { beforeAll, describe, expect, test } from 'vitest';
import * as Y from 'yjs';
import { Metrics } from '../../server/metrics.ts';
import { checksumOf } from '../../server/storage/checksum.ts';
import { type Database } from '../../server/storage/database.ts';
import type { DatabaseConnection } from '../../server/storage/database-connection.ts';
import { DocumentIndex } from '../../server/storage/document-index.ts';
import { markRow } from '../../server/storage/document-rows.ts';
import { DocumentStore } from '../../server/storage/document-store.ts';
import { applyStored } from '../../server/storage/stored-document.ts';
import { textOf, typist } from '../helpers/editor.ts';
import { throwingUpdate } from '../helpers/hostile.ts';
import { randomOf } from '../helpers/random.ts';
import { type StorageKind, createStorage, insertRows, openMigrated, silent } from '../helpers/storage.ts';

const LARGE_ROWS = 15;
const LARGE_EDITS = 1_000;

/** 1.5 MB, of which nothing merges. */
function largeDocument(): Uint8Array[] {
  const doc = new Y.Doc();
  const text = doc.getText('content');
  const updates: Uint8Array[] = [];
  doc.on('update', (update: Uint8Array) => updates.push(update));
  for (let row = 0; row < LARGE_ROWS; row += 1) {
    doc.transact(() => {
      for (let edit = 0; edit < LARGE_EDITS; edit += 1) text.insert(0, `${row} ${edit} `.padEnd(100, '.'));
    });
  }
  return updates;
}

/** Counts the turns of the event loop. */
function countTurns(): { readonly count: number; stop(): void } {
  const turns = { count: 0, stop: () => clearImmediate(next) };
  const turn = () => {
    turns.count += 1;
    next = setImmediate(turn);
  };
  let next = setImmediate(turn);
  return turns;
}

/** Registers the tests that loading and folding have to pass on every kind of storage. */
export function documentStoreContract(kind: StorageKind): void {
  describe(`stored documents on ${kind}`, () => {
    let database: Database;
    let store: DocumentStore;
    const metrics = new Metrics();
    const logged: string[] = [];
    beforeAll(async () => {
      const log = pino({ level: 'error' }, { write: (line: string) => void logged.push(line) });
      database = await openMigrated(await createStorage(kind));
      store = new DocumentStore(database.queries, log, metrics);
    });

    const insert = (name: string, updates: Uint8Array[]) => insertRows(database, name, updates);

    async function load(name: string): Promise<Y.Doc> {
      const stored = await store.read(name);
      if (stored === null) throw new Error(`${name} is not stored`);
      const doc = new Y.Doc();
      await store.load(doc, stored);
      return doc;
    }

    async function tailOf(name: string): Promise<string[]> {
      return (await store.read(name))?.tail.map(({ id }) => id) ?? [];
    }

    test('[S1] what is not stored is null', async () => {
      expect(await store.read('store/nothing')).toBeNull();
    });

    test('[S1] a document is its snapshot and every row after it, in any order', async () => {
      const typed = typist();
      await insert('store/load', [typed('one '), typed('two ')]);
      expect(await store.fold('store/load')).toMatchObject({ kind: 'folded' });
      const [three, four] = [typed('three '), typed('four')];
      await insert('store/load', [four, three]);
      expect(textOf(await load('store/load'))).toBe('one two three four');
    });

    test.each(['row', 'rows', 'snapshot'])(
      '[S18] a large document is loaded in many turns, as one %s',
      async (how) => {
        const name = `store/large-${how}`;
        const updates = largeDocument();
        await insert(name, how === 'row' ? [Y.mergeUpdates(updates)] : updates);
        const folded = how === 'snapshot' ? await store.fold(name) : null;
        expect(folded?.kind).toBe(how === 'snapshot' ? 'folded' : undefined);
        const stored = await store.read(name);
        if (stored === null) throw new Error('not stored');
        const doc = new Y.Doc();
        const turns = countTurns();
        const usedTurns = new Set<number>();
        doc.on('beforeTransaction', () => void usedTurns.add(turns.count));
        await store.load(doc, stored, 0);
        turns.stop();
        expect(usedTurns.size).toBeGreaterThan(100);
        const whole = new Y.Doc();
        applyStored(whole, stored);
        expect(textOf(doc)).toBe(textOf(whole));
        expect(textOf(doc)).toHaveLength(LARGE_ROWS * LARGE_EDITS * 100);
      },
    );

    test('[O12] when the last edit was made is known when it is folded, too', async () => {
      const index = new DocumentIndex(database.queries);
      const name = 'store/last-edit';
      const last = async () => (await index.statistics(name))?.lastEditAt;
      const type = typist();
      // The last of them by the clock of an instance that is behind.
      for (const [day, expected] of [
        [2, 2],
        [3, 3],
        [1, 3],
      ]) {
        const [row] = await insert(name, [type(`${day}`)]);
        await database.queries.query('update indelible.updates set created_at = $1 where id = $2', [
          `2021-01-0${day}T00:00:00Z`,
          row,
        ]);
        expect(await last()).toBe(Date.parse(`2021-01-0${expected}`));
        expect(await store.fold(name)).toMatchObject({ kind: 'folded' });
        expect(await last()).toBe(Date.parse(`2021-01-0${expected}`));
      }
    });

    test('[S2] folding gives the same document and deletes exactly the rows that it merged', async () => {
      const typed = typist();
      await insert('store/fold', [typed('a'), typed('b'), typed('c')]);
      expect(await tailOf('store/fold')).toHaveLength(3);
      const result = await store.fold('store/fold');
      const stored = await store.read('store/fold');
      expect(stored?.tail).toEqual([]);
      expect(result).toEqual({ kind: 'folded', snapshotBytes: stored?.snapshot?.byteLength, rows: 3 });
      expect(textOf(await load('store/fold'))).toBe('abc');
      expect(await store.fold('store/fold')).toEqual({ kind: 'nothing' });
    });

    test('[S2] of several instances that fold at once each leaves a whole document', async () => {
      const stores = [1, 2, 3].map(() => new DocumentStore(database.queries, silent, metrics));
      const typed = typist();
      for (let round = 0; round < 10; round += 1) {
        await insert('store/at once', [typed(`${round} `), typed('and ')]);
        const results = await Promise.all(stores.map((each) => each.fold('store/at once')));
        expect(results).toContainEqual(expect.objectContaining({ kind: 'folded' }));
        expect(await tailOf('store/at once')).toEqual([]);
      }
      expect(textOf(await load('store/at once'))).toBe(
        Array.from({ length: 10 }, (_, round) => `${round} and `).join(''),
      );
      await Promise.all(stores.map((each) => each.close()));
    });

    test('[S2] deleted text is not in the snapshot', async () => {
      const doc = new Y.Doc();
      const updates: Uint8Array[] = [];
      doc.on('update', (update: Uint8Array) => updates.push(update));
      doc.getText('content').insert(0, 'a secret and the rest');
      doc.getText('content').delete(0, 'a secret and '.length);
      await insert('store/gc', updates);
      await store.fold('store/gc');
      const { snapshot } = (await store.read('store/gc')) ?? {};
      expect(Buffer.from(snapshot ?? []).includes('secret')).toBe(false);
      expect(textOf(await load('store/gc'))).toBe('the rest');
    });

    test('[S3] an update whose predecessors are missing survives folding, and takes effect when they come', async () => {
      const typed = typist();
      const [first, missing, last] = [typed('one '), typed('two '), typed('three')];
      await insert('store/pending', [first, last]);
      expect(await store.fold('store/pending')).toMatchObject({ kind: 'folded' });
      expect(textOf(await load('store/pending'))).toBe('one ');
      await insert('store/pending', [missing]);
      expect(textOf(await load('store/pending'))).toBe('one two three');
      await store.fold('store/pending');
      expect(textOf(await load('store/pending'))).toBe('one two three');
    });

    test('[S4] a row that fails its checksum is set aside, loudly, and the rest opens', async () => {
      const typed = [typist(1), typist(2)].map((type) => type('kept '));
      const damaged = typist(3)('damaged');
      const [, , row] = await insert('store/checksum', [...typed, damaged]);
      await database.queries.query(
        'update indelible.updates set update = set_byte(update, 5, 255) where id = $1',
        [row],
      );
      const before = (await metrics.quarantined.get()).values[0]?.value ?? 0;
      logged.length = 0;

      expect(textOf(await load('store/checksum'))).toBe('kept kept ');
      expect((await metrics.quarantined.get()).values[0]?.value).toBe(before + 1);
      expect(logged.join('')).toContain('store/checksum');
      const { rows } = await database.queries.query(
        'select quarantined from indelible.updates where id = $1',
        [row],
      );
      expect(rows, 'marked, not deleted').toEqual([{ quarantined: 'checksum' }]);
      logged.length = 0;
      await load('store/checksum');
      expect(logged, 'set aside once').toEqual([]);
      expect(await store.fold('store/checksum')).toMatchObject({ kind: 'folded' });
      const left = await database.queries.query('select 1 from indelible.updates where id = $1', [row]);
      expect(left.rows, 'folding leaves it').toHaveLength(1);
    });

    test('[S4] rows that do not apply are found among those that do, and set aside', async () => {
      const good = [typist(1)('first '), typist(2)('second ')];
      const bad = [good[0]?.slice(0, -2) ?? new Uint8Array(), new Uint8Array([1, 2, 3])];
      await insert(
        'store/apply',
        [good[0], bad[0], good[1], bad[1]].filter((update) => update !== undefined),
      );
      const stored = await store.read('store/apply');
      if (stored === null) throw new Error('not stored');
      expect(() => applyStored(new Y.Doc(), stored)).toThrow(/end|length|Unexpected|Integer/i);
      await store.setAsideUnreadable('store/apply', stored, new Error('as above'));
      expect(
        textOf(await load('store/apply'))
          .split(' ')
          .toSorted(),
      ).toEqual(['', 'first', 'second']);
    });

    test.each(['before', 'after'])(
      '[S4] the row that cannot be applied is set aside, not the innocent one that brings its predecessors, %s it',
      async (order) => {
        const name = `store/guilty ${order}`;
        const typed = typist(7);
        const [first, innocent] = [typed('hello '), typed('world')];
        const poison = throwingUpdate(7, 'hello world'.length);
        await insert(name, order === 'before' ? [first, poison, innocent] : [first, innocent, poison]);
        const stored = await store.read(name);
        if (stored === null) throw new Error('not stored');
        expect(() => applyStored(new Y.Doc(), stored)).toThrow(/undefined|null/);
        await store.setAsideUnreadable(name, stored, new Error('as above'));
        expect(textOf(await load(name))).toBe('hello world');
      },
    );

    test('[S3] pieces that wait for each other are folded as often as they come, and lose nothing', async () => {
      const random = randomOf(5);
      for (let round = 0; round < 30; round += 1) {
        const name = `store/pieces ${round}`;
        const [one, two] = [typist(1), typist(2)];
        const updates = Array.from({ length: 12 }, (_, index) => (index % 2 === 0 ? one : two)(`${index} `));
        const shuffled = updates.map((update) => ({ update, at: random() })).toSorted((a, b) => a.at - b.at);
        for (const { update } of shuffled) {
          await insert(name, [update]);
          expect(await store.fold(name)).toMatchObject({ kind: 'folded' });
        }
        const whole = new Y.Doc();
        for (const update of updates) Y.applyUpdate(whole, update);
        expect(textOf(await load(name))).toBe(textOf(whole));
      }
    });

    test('[S13] a connection that breaks in the middle of a transaction harms nobody', async () => {
      await insert('store/broken line', [typist()('kept')]);
      const broken = database.queries.transaction(async (connection) => {
        await breakLine(connection);
        await connection.query('select 1');
      });
      await expect(broken).rejects.toThrow(/connection|client/i);
      expect(textOf(await load('store/broken line'))).toBe('kept');
    });

    test('[S5] a damaged snapshot refuses to open, and nothing is changed', async () => {
      const typed = typist();
      await insert('store/damaged', [typed('one ')]);
      await store.fold('store/damaged');
      await insert('store/damaged', [typed('two')]);
      await database.queries.query(
        `update indelible.snapshots set state = set_byte(state, 4, get_byte(state, 4) # 255)
           where document = (select id from indelible.documents where name = 'store/damaged')`,
      );
      const everything = () =>
        database.queries.query(
          `select s.state, u.update from indelible.documents d join indelible.snapshots s on s.document = d.id
             join indelible.updates u on u.document = d.id where d.name = 'store/damaged'`,
        );
      const before = (await everything()).rows;
      expect(before).toHaveLength(1);
      await expect(store.read('store/damaged')).rejects.toMatchObject({ code: 'document_unavailable' });
      await expect(store.fold('store/damaged')).rejects.toMatchObject({ code: 'document_unavailable' });
      expect((await everything()).rows).toEqual(before);
    });

    test('[S5] a snapshot that does not apply is not blamed on the tail', async () => {
      await insert('store/undecodable', [typist()('kept')]);
      const state = new Uint8Array([1, 2, 3]);
      await database.queries.query(
        `insert into indelible.snapshots (document, checksum, state)
           select id, $1, $2 from indelible.documents where name = 'store/undecodable'`,
        [checksumOf(state), state],
      );
      const stored = await store.read('store/undecodable');
      if (stored === null) throw new Error('not stored');
      await expect(
        store.setAsideUnreadable('store/undecodable', stored, new Error('x')),
      ).rejects.toMatchObject({
        code: 'document_unavailable',
      });
      expect(await tailOf('store/undecodable')).toHaveLength(1);
    });

    test('[I4] what is set aside is neither loaded nor folded in, stays in the log, and can be taken back', async () => {
      const [bad] = await insert('store/set aside', [typist(1)('bad ')]);
      await insert('store/set aside', [typist(2)('good ')]);
      await markRow(database.queries, bad ?? '', 'operator', () => {});
      expect(textOf(await load('store/set aside'))).toBe('good ');
      expect(await store.fold('store/set aside')).toMatchObject({ kind: 'folded', rows: 1 });
      expect(textOf(await load('store/set aside'))).toBe('good ');
      await markRow(database.queries, bad ?? '', null, () => {});
      expect(await tailOf('store/set aside')).toEqual([bad]);
      expect(
        textOf(await load('store/set aside'))
          .split(' ')
          .toSorted(),
      ).toEqual(['', 'bad', 'good']);
    });

    test('[I4] a row that is refused for a reason stays as it is', async () => {
      const [row] = await insert('store/not set aside', [typist()('kept')]);
      const refused = markRow(database.queries, row ?? '', 'operator', () => {
        throw new Error('no');
      });
      await expect(refused).rejects.toThrow('no');
      expect(await tailOf('store/not set aside')).toEqual([row]);
    });

    test('[I6] a fold that has read a row which is set aside meanwhile neither takes it in nor deletes it', async () => {
      const [bad] = await insert('store/while folding', [typist(1)('bad '), typist(2)('good ')]);
      class Late extends DocumentStore {
        override async read(name: string) {
          const stored = await super.read(name);
          await markRow(database.queries, bad ?? '', 'operator', () => {});
          return stored;
        }
      }
      const late = new Late(database.queries, silent, metrics);
      expect(await late.fold('store/while folding')).toEqual({ kind: 'nothing' });
      expect(textOf(await load('store/while folding'))).toBe('good ');
      expect(await store.fold('store/while folding')).toMatchObject({ kind: 'folded', rows: 1 });
      await markRow(database.queries, bad ?? '', null, () => {});
      expect(await tailOf('store/while folding')).toEqual([bad]);
      await late.close();
    });

    test('[I6] a row that a fold has taken in cannot be set aside any more', async () => {
      const [row] = await insert('store/folded', [typist()('kept')]);
      await store.fold('store/folded');
      await expect(markRow(database.queries, row ?? '', 'operator', () => {})).rejects.toThrow(
        `no row ${row}: a snapshot has taken it in, or it never was`,
      );
    });

    test('[S6] of several that create a document at once, one does', async () => {
      const contents = Array.from({ length: 5 }, (_, index) => typist(index + 1)(`by ${index}`));
      const created = await Promise.all(contents.map((content) => store.create('store/create', content)));
      expect(created.filter(Boolean)).toHaveLength(1);
      expect(textOf(await load('store/create'))).toBe(`by ${created.indexOf(true)}`);
    });

    test('[S7] rows that cannot be merged into a snapshot that reads back are left alone', async () => {
      await insert('store/unsafe', [typist(1)('kept'), new Uint8Array([1, 2, 3])]);
      expect(await store.fold('store/unsafe')).toEqual({ kind: 'unsafe' });
      expect(await tailOf('store/unsafe')).toHaveLength(2);
    });
  });
}

/** Cuts a connection from below, as a restart of Postgres does, and waits until its client has seen it. */
async function breakLine(client: DatabaseConnection): Promise<void> {
  const ended = new Promise((resolve) => client.once('end', resolve));
  // The embedded database has no other session that could end this one.
  client.connection.stream.destroy(new Error('connection reset'));
  await ended;
}
