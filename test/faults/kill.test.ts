import { expect, test } from 'vitest';
import { PROTOCOLS } from '../helpers/editor.ts';
import { spawnServer } from '../helpers/server.ts';
import { type Storage, type StorageKind, createStorage } from '../helpers/storage.ts';
import { randomOf } from '../helpers/traces.ts';
import { Ledger } from './ledger.ts';
import { startTypist, type Typist } from './typist.ts';
import { allIsWell, nothingIsLost } from './verdict.ts';

const DOCUMENTS = ['one', 'two', 'three'];
/** Edits that are on their way when the kill comes, at least. */
const ON_THEIR_WAY = 100;

const SEED = Number(process.env['SEED'] ?? Date.now() % 100_000);

/** Everybody types until enough is on its way, and then some while acks arrive, so that the kill meets different moments. */
async function typeAhead(typists: readonly Typist[], ledger: Ledger, random: () => number): Promise<void> {
  while (ledger.waiting < ON_THEIR_WAY * 1.5) for (const typist of typists) typist.type();
  for (let left = Math.floor(random() * 20); left > 0; left -= 1) {
    await new Promise((resolve) => setImmediate(resolve));
    for (const typist of typists) typist.type();
  }
  while (ledger.waiting < ON_THEIR_WAY) for (const typist of typists) typist.type();
}

/** Some kills of servers with the same clients, who come back each time. */
async function killAgainAndAgain(options: {
  storage: Storage;
  batch: number;
  kills: number;
  ledger: Ledger;
  random: () => number;
}): Promise<number[]> {
  const { storage, batch, kills, ledger, random } = options;
  const documents = DOCUMENTS.map((name) => `kill/${batch}/${name}`);
  let server = await spawnServer(storage);
  const { port } = new URL(server.url);
  const typists = documents.flatMap((document) =>
    PROTOCOLS.map((protocol) => {
      const name = `${protocol}@${document}`;
      return startTypist({ protocol, url: server.url, document, name, ledger, random });
    }),
  );
  const onTheirWay: number[] = [];
  for (let kill = 0; kill < kills; kill += 1) {
    await typeAhead(typists, ledger, random);
    onTheirWay.push(ledger.waiting);
    await server.kill('SIGKILL');
    await nothingIsLost(ledger, storage, documents);
    for (const typist of typists) typist.type();
    server = await spawnServer(storage, { PORT: port });
    await Promise.all(typists.map((typist) => typist.settled(60_000)));
  }
  await allIsWell({ ledger, typists, url: server.url, storage, stop: () => server.kill('SIGTERM') });
  return onTheirWay;
}

test.each<[kind: StorageKind, batches: number, kills: number]>([
  ['postgres', 2, 10],
  ['embedded', 1, 5],
])(
  `[F1] on %s, %i times %i kills under load lose no acknowledged edit (seed ${SEED})`,
  async (kind, batches, kills) => {
    const random = randomOf(SEED);
    const ledger = new Ledger();
    const storage = await createStorage(kind);
    const onTheirWay: number[] = [];
    for (let batch = 0; batch < batches; batch += 1) {
      onTheirWay.push(...(await killAgainAndAgain({ storage, batch, kills, ledger, random })));
    }
    expect(onTheirWay).toHaveLength(batches * kills);
    expect(Math.min(...onTheirWay)).toBeGreaterThanOrEqual(ON_THEIR_WAY);
    expect(ledger.ackedCount).toBe(ledger.sent);
  },
  300_000,
);
