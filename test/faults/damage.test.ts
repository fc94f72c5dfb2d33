import { setTimeout as aMoment } from 'node:timers/promises';
import { expect, test, vi } from 'vitest';
import * as Y from 'yjs';
import type { Database } from '../../server/storage/database.ts';
import { connectYWebsocket } from '../helpers/clients.ts';
import { documentsBecome, valueOf } from '../helpers/metrics.ts';
import { startNode } from '../helpers/processes.ts';
import { createStorage, environmentOf, openStorage, rebuild } from '../helpers/storage.ts';
import { Stage } from './stage.ts';
import { SEED } from './run.ts';
import type { Typist } from './typist.ts';

/** Edits of each person that stay in the tail. */
const EDITS = 20;
/** Rows of a tail that is long enough to be folded. */
const LONG_TAIL = 120;

interface StoredRow {
  id: string;
  update: Buffer;
}

interface Digest {
  snapshot: string | null;
  checksum: number | null;
  log: string | null;
}

/** A server with some documents, one of which is to be damaged, and the way to its rows. */
class Damage {
  readonly stage: Stage;
  readonly database: Database;
  readonly document: string;
  /** Those who are in it. */
  readonly people: readonly Typist[];

  static async set(): Promise<Damage> {
    const storage = await createStorage('postgres');
    const stage = await Stage.set({ storage });
    return new Damage(stage, await openStorage(storage));
  }

  private constructor(stage: Stage, database: Database) {
    this.stage = stage;
    this.database = database;
    this.document = stage.documents[0] as string;
    this.people = stage.typists.filter(({ document }) => document === this.document);
  }

  /** Everybody types so many edits, which are acknowledged. */
  async type(edits: number): Promise<void> {
    const { typists } = this.stage;
    for (let edit = 0; edit < edits; edit += 1) {
      for (const typist of typists) typist.type();
      // What comes together is one row.
      await aMoment(1);
    }
    await this.stage.settled();
  }

  /** Everybody types until the tail of the document is to be folded, or is already. */
  async typeLongTail(): Promise<void> {
    const { snapshot } = await this.digest();
    do await this.type(EDITS);
    while ((await this.tail()).length < LONG_TAIL && (await this.digest()).snapshot === snapshot);
  }

  /** Everybody leaves the document, which is folded then if its log is long, and unloaded. */
  async close(): Promise<void> {
    const { server, documents } = this.stage;
    for (const typist of this.people) typist.drop();
    await documentsBecome(server.url, documents.length - 1, 20_000);
  }

  /** Rows of its log that loading and folding read. */
  async tail(): Promise<StoredRow[]> {
    const { rows } = await this.database.queries.query<StoredRow>(
      `select u.id, u.update from indelible.updates u join indelible.documents d on d.id = u.document
         where d.name = $1 and u.quarantined is null order by u.id`,
      [this.document],
    );
    return rows;
  }

  /** Its rows, whatever they hold, in short. */
  async digest(): Promise<Digest> {
    const { rows } = await this.database.queries.query<Digest>(
      `select md5(s.state) as snapshot, s.checksum,
           (select md5(string_agg(u::text, ',' order by u.id)) from indelible.updates u where u.document = d.id) as log
         from indelible.documents d left join indelible.snapshots s on s.document = d.id where d.name = $1`,
      [this.document],
    );
    return rows[0] as Digest;
  }

  /** Turns a byte of a row around; a second time, back. */
  async flipRow({ id, update }: StoredRow): Promise<void> {
    const byte = Number(id) % update.byteLength;
    await this.database.queries.query(
      'update indelible.updates set update = set_byte(update, $2, get_byte(update, $2) # 255) where id = $1',
      [id, byte],
    );
  }

  /** Holds when it has a snapshot. */
  async folded(): Promise<void> {
    await vi.waitFor(
      async () => {
        if ((await this.digest()).snapshot === null) throw new Error('it has no snapshot');
      },
      { timeout: 20_000 },
    );
  }

  /** As {@link flipRow} does, the first byte of the snapshot. */
  async flipSnapshot(): Promise<void> {
    const { rowCount } = await this.database.queries.query(
      `update indelible.snapshots set state = set_byte(state, 0, get_byte(state, 0) # 255)
         where document = (select id from indelible.documents where name = $1)`,
      [this.document],
    );
    if (rowCount !== 1) throw new Error('there is no snapshot');
  }

  /** A row that holds elements of the ledger, and those that a document lacks without it. */
  async pickRow(): Promise<{ row: StoredRow; elements: string[] }> {
    const rows = await this.tail();
    const start = Math.floor(this.stage.chance() * rows.length);
    for (const row of [...rows.slice(start), ...rows.slice(0, start)]) {
      const doc = new Y.Doc();
      for (const each of rows) if (each !== row) Y.applyUpdate(doc, each.update);
      const elements = this.stage.ledger.lostElementsIn(this.document, doc);
      if (elements.length > 0) return { row, elements };
    }
    throw new Error('no row holds an element');
  }

  /** What the database alone lacks of what was acknowledged. */
  async lost(): Promise<string[]> {
    return this.stage.ledger.lostElementsIn(this.document, await rebuild(this.database, this.document));
  }

  /** What `indelible inspect` says of a row. */
  async verdictOn({ id }: StoredRow): Promise<string | undefined> {
    return (await this.indelible(['inspect', this.document])).find((line) => line.startsWith(`${id} `));
  }

  /** What a command prints, line by line. */
  async indelible(words: string[]): Promise<string[]> {
    const env = environmentOf(this.stage.storage);
    const command = await startNode(['server/main.ts', ...words], { env });
    const { code } = await command.exited;
    if (code !== 0) throw new Error(`indelible ${words.join(' ')}: ${command.stderr.join(' ')}`);
    return command.stdout;
  }
}

test(`[F45] a damaged row of a closed document is set aside, loudly, and whoever has the edit brings it back (SEED=${SEED})`, async () => {
  const damage = await Damage.set();
  const { stage } = damage;
  await damage.type(EDITS);
  const { row, elements } = await damage.pickRow();
  await damage.close();
  await damage.flipRow(row);
  expect(await damage.verdictOn(row)).toMatch(/checksum differs$/);
  await stage.settled();
  await stage.server.line(/stored updates cannot be read and are set aside/);
  expect(await valueOf(stage.server.url, 'indelible_quarantined_updates_total')).toBe(1);
  expect(await damage.verdictOn(row)).toMatch(/set aside \(checksum\)$/);
  // Everybody has it, and sends it as soon as they know what the server lacks.
  await expect.poll(() => damage.lost(), { timeout: 10_000 }).toEqual([]);
  expect(elements).not.toEqual([]);
  await stage.allIsWell();
}, 60_000);

test(`[F46] a damaged row whose edit nobody has takes nothing else along, and that is said (SEED=${SEED})`, async () => {
  const damage = await Damage.set();
  const { stage, document } = damage;
  await damage.type(EDITS);
  const { row, elements } = await damage.pickRow();
  await damage.close();
  for (const typist of damage.people) {
    typist.abandon();
    stage.typists.splice(stage.typists.indexOf(typist), 1);
  }
  await damage.flipRow(row);
  const newcomer = connectYWebsocket(stage.url, encodeURIComponent(document));
  await newcomer.synced();
  expect(stage.ledger.lostElementsIn(document, newcomer.doc)).toEqual(elements);
  expect(await damage.lost()).toEqual(elements);
  await stage.server.line(/stored updates cannot be read and are set aside/);
  expect(await valueOf(stage.server.url, 'indelible_quarantined_updates_total')).toBe(1);
  expect(await damage.verdictOn(row)).toMatch(/set aside \(checksum\)$/);
  newcomer.destroy();
  // Nothing was deleted: an operator who knows what the byte was has it all back.
  await damage.flipRow(row);
  await damage.indelible(['quarantine', '--undo', row.id]);
  expect(await damage.lost()).toEqual([]);
  await stage.allIsWell();
}, 60_000);

test(`[F47] a damaged snapshot keeps its document closed and untouched, and what was typed meanwhile (SEED=${SEED})`, async () => {
  const damage = await Damage.set();
  const { stage, document, people } = damage;
  await damage.typeLongTail();
  await damage.close();
  await damage.folded();
  const holder = connectYWebsocket(stage.url, encodeURIComponent(document));
  await holder.synced();
  // In memory it is whole, so people go on, and what they type is committed. Folding reads the snapshot, and leaves it.
  await damage.flipSnapshot();
  await damage.typeLongTail();
  holder.destroy();
  await damage.close();
  await stage.server.line(/a document is kept closed: its storage cannot be read/);
  const digest = await damage.digest();

  for (const typist of people) typist.type();
  const others = stage.typists.filter((typist) => !people.includes(typist));
  await refused(stage, document);
  for (const typist of others) typist.type();
  await Promise.all(others.map((typist) => typist.settled()));
  expect(people.map(({ isSettled }) => isSettled)).toEqual(people.map(() => false));
  expect(await damage.digest()).toEqual(digest);
  await damage.flipSnapshot();
  await stage.allIsWell();
}, 90_000);

test(`[F48] a row that is damaged while its document is open is set aside when it is folded, and what is in memory committed again (SEED=${SEED})`, async () => {
  const damage = await Damage.set();
  const { stage } = damage;
  await damage.type(EDITS);
  const { row } = await damage.pickRow();
  await damage.flipRow(row);
  await damage.typeLongTail();
  await damage.close();
  await damage.folded();
  await stage.server.line(/stored updates cannot be read and are set aside/);
  expect(await damage.verdictOn(row)).toMatch(/set aside \(checksum\)$/);
  // Nobody has come back: what was in memory has been committed again.
  await expect.poll(() => damage.lost(), { timeout: 10_000 }).toEqual([]);
  await stage.allIsWell();
}, 60_000);

/** Holds when a newcomer is told that a document cannot be opened. */
async function refused(stage: Stage, document: string): Promise<void> {
  const newcomer = connectYWebsocket(stage.url, encodeURIComponent(document));
  await newcomer.closed();
  expect(newcomer.closes[0]).toEqual({ code: 4503, reason: 'document_unavailable' });
  newcomer.destroy();
}
