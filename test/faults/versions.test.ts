import { setTimeout as aMoment } from 'node:timers/promises';
import { cp, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { SERVER_VERSION } from '../../server/storage/migrate.ts';
import { atTestEnd } from '../helpers/cleanup.ts';
import { PROTOCOLS } from '../helpers/editor.ts';
import { COLLECTING } from '../helpers/memory.ts';
import { documentsBecome, valueOf } from '../helpers/metrics.ts';
import { type Proxy, startProxy } from '../helpers/proxy.ts';
import { type ServerProcess, spawnServer } from '../helpers/server.ts';
import { createStorage, openStorage } from '../helpers/storage.ts';
import { Stage } from './stage.ts';
import { SEED, scaled } from './run.ts';
import { startTypist, type Typist } from './typist.ts';
import { endsWell, isSilent, nothingIsLost } from './verdict.ts';

const ROOT = join(import.meta.dirname, '../..');
const NEWER_VERSION = '0.2.0';
/** Edits of each person before some leave, which folds what they were in. */
const EDITS = 30;
/** Folds of each server that changed something; each takes a quarter more edits than the one before. */
const FOLDS = scaled(1, 4);

/** What a later version may look like whose schema the present one may still use: something is added to it. */
async function copyAsNewer(): Promise<string> {
  const copy = await mkdtemp(join(tmpdir(), 'indelible-test-'));
  atTestEnd(() => rm(copy, { recursive: true, force: true }));
  for (const entry of ['server', 'migrations', 'package.json'])
    await cp(join(ROOT, entry), join(copy, entry), { recursive: true });
  await symlink(join(ROOT, 'node_modules'), join(copy, 'node_modules'));
  for (const path of ['package.json', 'server/storage/migrate.ts']) {
    const text = await readFile(join(copy, path), 'utf8');
    await writeFile(join(copy, path), text.replace(SERVER_VERSION, NEWER_VERSION));
  }
  await writeFile(
    join(copy, 'migrations/900_note.sql'),
    `-- Up Migration
     alter table indelible.updates add column note text default 'none';
     create index updates_created_at on indelible.updates (created_at);
     create table indelible.notes (document bigint primary key, note text);`,
  );
  return copy;
}

function folds({ url }: ServerProcess): Promise<number> {
  return valueOf(url, 'indelible_folds_total', { result: 'folded' });
}

/** Everybody types, and the people of one server after the other leave and come back, until both servers have folded. */
async function typeUntilFolded(people: [ServerProcess, Typist[]][]): Promise<void> {
  const all = people.flatMap(([, typists]) => typists);
  for (const [server, typists] of people) {
    for (const had = await folds(server); (await folds(server)) < had + FOLDS;) {
      for (let edit = 0; edit < EDITS; edit += 1) {
        for (const typist of all) typist.type();
        // What comes together is one row.
        await aMoment(1);
      }
      await Promise.all(all.map((typist) => typist.settled()));
      for (const typist of typists) typist.drop();
      // It folds when the last one leaves, if the log is long enough by then.
      await documentsBecome(server.url, 0, 20_000);
    }
  }
}

test(
  `[F49] an older and a newer server on one database lose nothing, nor does the way from one to the other and back (SEED=${SEED})`,
  async () => {
    const storage = await createStorage('postgres');
    const newerSource = await copyAsNewer();
    let toOlder: Proxy | undefined;
    const stage = await Stage.set({
      storage,
      documents: ['faults/older', 'faults/both'],
      between: async (url) => (toOlder = await startProxy(url)),
    });
    const { ledger, random, typists } = stage;
    const documents = [...stage.documents, 'faults/newer'];
    const olderPeople = [...typists];
    // It migrates while the other one is at work.
    const newer = await stage.whileTyping(() => spawnServer(storage, COLLECTING, newerSource));
    const toNewer = await startProxy(newer.url);
    const newerPeople = ['faults/both', 'faults/newer'].flatMap((document) =>
      PROTOCOLS.map((protocol) => {
        const name = `${protocol}.newer@${document}`;
        return startTypist({ protocol, url: toNewer.url, document, name, ledger, random });
      }),
    );
    typists.push(...newerPeople);
    await typeUntilFolded([
      [stage.server, olderPeople],
      [newer, newerPeople],
    ]);
    await stage.settled();
    await nothingIsLost(ledger, storage, documents);
    const { queries } = await openStorage(storage);
    const { rows } = await queries.query(`select from indelible.migrations where name = '900_note'`);
    expect(rows).toHaveLength(1);

    // Upgraded: those who were on the older one go on with the newer one.
    await stage.whileTyping(async () => {
      toOlder?.retarget(newer.url);
      await endsWell(stage.server);
      await stage.firstAck();
    });
    await stage.settled();
    await nothingIsLost(ledger, storage, documents);

    // And back again.
    await stage.whileTyping(async () => {
      await endsWell(newer);
      await stage.startServer();
      for (const proxy of [toOlder, toNewer]) proxy?.retarget(stage.server.url);
    });
    await stage.allIsWell();
    isSilent(newer);
  },
  scaled(90_000, 900_000),
);
