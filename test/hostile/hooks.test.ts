import { once } from 'node:events';
import { describe, expect, test, vi } from 'vitest';
import { Access } from '../../server/auth/access.ts';
import { allowEverybody } from '../../server/auth/grant.ts';
import { Revocations } from '../../server/auth/revocations.ts';
import { Hub } from '../../server/documents/hub.ts';
import type { Authorize } from '../../server/index.ts';
import { ALONE } from '../../server/cluster/cluster.ts';
import { Limits } from '../../server/limits.ts';
import { createLog } from '../../server/log.ts';
import { Metrics } from '../../server/metrics.ts';
import { hocuspocusWire } from '../../server/protocol/wire.ts';
import { DocumentStore } from '../../server/storage/document-store.ts';
import { UpdateLog } from '../../server/storage/update-log.ts';
import { type Scene, setScene } from '../helpers/bystanders.ts';
import { atTestEnd } from '../helpers/cleanup.ts';
import { type Editor, type Protocol, PROTOCOLS, joinAs, textOf, updateOf } from '../helpers/editor.ts';
import { type Received, decodeFrame, encodeFrame } from '../helpers/frames.ts';
import { documentsBecome } from '../helpers/metrics.ts';
import { UpgradeRefused } from '../helpers/raw-client.ts';
import { startServer } from '../helpers/server.ts';
import { type Storage, createStorage, openStorage, rebuild } from '../helpers/storage.ts';

const ROOM = 'hostile/hooks';
const OTHER = 'hostile/other';

/** How opening a document is refused: what a client of either protocol is told. */
async function refusalOf(protocol: Protocol, url: string): Promise<string> {
  try {
    return (await (await joinAs(protocol, url, OTHER)).client.closed()).reason;
  } catch (error) {
    if (error instanceof UpgradeRefused) return error.body.trim();
    throw error;
  }
}

/** Opens the document that could not be opened, and edits it. */
async function opens(protocol: Protocol, { url, storage }: Scene, expected: string): Promise<void> {
  const editor = await joinAs(protocol, url, OTHER);
  expect(textOf(await editor.ask())).toBe(expected);
  editor.type('opened');
  expect(await editor.ack()).toBe(true);
  const stored = await rebuild(await openStorage(storage), OTHER);
  expect(stored && textOf(stored)).toContain('opened');
}

const query = async ({ storage }: Scene, sql: string) => (await openStorage(storage)).queries.query(sql);

/** A table is not there for a while. */
async function without(scene: Scene, table: string, work: () => Promise<void>): Promise<void> {
  await query(scene, `alter table indelible.${table} rename to ${table}_away`);
  try {
    await work();
  } finally {
    await query(scene, `alter table indelible.${table}_away rename to ${table}`);
  }
}

const isFailure = ({ msg }: { msg: string }) => msg === 'a hook failed';

/** Everything that a function of a program can do wrong. */
const WRONGS: Array<[name: string, wrong: () => never]> = [
  [
    'throws',
    () => {
      throw new Error('broken');
    },
  ],
  [
    'throws nothing',
    () => {
      // oxlint-disable-next-line no-throw-literal -- what a program may do
      throw undefined;
    },
  ],
  ['rejects', () => Promise.reject(new Error('broken')) as never],
  ['gives a number', () => 7 as never],
  ['gives an object without sense', () => ({ user: { toString: null }, access: {} }) as never],
];

describe.each(PROTOCOLS)('a hook that fails, over %s', (protocol) => {
  test.each(WRONGS)('[X8] onAuthenticate, where auth %s', async (_name, wrong) => {
    let isBroken = false;
    const auth: Authorize = ({ document }) =>
      isBroken && document === OTHER ? wrong() : { user: null, access: 'write' };
    const scene = await setScene(ROOM, { auth });
    isBroken = true;
    expect(await refusalOf(protocol, scene.url)).toBe('auth_unavailable');
    isBroken = false;
    await opens(protocol, scene, '');
    await scene.isUnharmed(['auth failed: access cannot be checked']);
  });

  test.each(WRONGS)('[X8] onLoadDocument, where onLoad %s', async (_name, wrong) => {
    let isBroken = false;
    const contentOf = () => (isBroken ? wrong() : Promise.resolve(updateOf('first ')));
    const scene = await setScene(ROOM, {
      onLoad: (name) => (name === OTHER ? contentOf() : Promise.resolve(null)),
    });
    isBroken = true;
    expect(await refusalOf(protocol, scene.url)).toBe('content_unavailable');
    isBroken = false;
    await opens(protocol, scene, 'first ');
    await scene.isUnharmed();
  });

  test('[X8] onLoadDocument, where the database fails', async () => {
    const scene = await setScene(ROOM);
    await without(scene, 'snapshots', async () => {
      expect(await refusalOf(protocol, scene.url)).toBe('document_unavailable');
    });
    await opens(protocol, scene, '');
    await scene.isUnharmed();
  });

  test('[X8] onStoreDocument, where the database fails', async () => {
    const scene = await setScene(ROOM);
    const editor = await joinAs(protocol, scene.url, OTHER);
    await typeLong(editor);
    await without(scene, 'snapshots', async () => {
      editor.client.socket.close();
      await vi.waitFor(() => expect(scene.log.find(isFailure)).toMatchObject({ hook: 'onStoreDocument' }));
    });
    await opens(protocol, scene, textOf(editor.doc));
    await scene.isUnharmed(['a hook failed']);
  });

  test('[X8] connected, where the log cannot be written', async () => {
    const lines: string[] = [];
    const write = (line: string) => {
      if (line.includes('an update is refused')) throw new Error('no space left on device');
      lines.push(line);
    };
    const { promise: held, resolve: open } = Promise.withResolvers<void>();
    const onLoad = async (name: string) => void (name === OTHER && (await held));
    const scene = await setScene(ROOM, { logTo: { write }, onLoad });
    const editor = await joinAs(protocol, scene.url, OTHER);
    // Waits until the document opens, and is handled as soon as it is connected.
    editor.send(updateOf('cut short').slice(0, -2));
    editor.client.socket.ping();
    await once(editor.client.socket, 'pong');
    open();
    expect(await editor.client.closed()).toEqual({ code: 4400, reason: 'bad_update' });
    expect(editor.acks()).toEqual([]);
    expect(lines.filter((line) => line.includes('a hook failed'))).toEqual([]);
    await documentsBecome(scene.url, 1);
    await opens(protocol, scene, '');
    await scene.isUnharmed();
  });
});

test('[X8] afterUnloadDocument, where the update log fails', async () => {
  const lines: string[] = [];
  const hub = await createHub((line) => void lines.push(line));
  const edit = updateOf('kept');
  for (let time = 0; time < 2; time += 1) {
    const frames: Received[] = [];
    const session = hub.connect(
      {
        isOpen: true,
        heardSince: 0,
        close() {},
        rest() {},
        send: (frame) => void frames.push(decodeFrame('hocuspocus', frame)),
      },
      hocuspocusWire,
    );
    session.receive(encodeFrame('hocuspocus', { type: 'token', token: '' }, OTHER));
    session.receive(encodeFrame('hocuspocus', { type: 'update', update: edit }, OTHER));
    await vi.waitFor(() => expect(frames).toContainEqual(expect.objectContaining({ saved: true })));
    session.closed(1000, '');
    const failures = () => lines.filter((line) => line.includes('"hook":"afterUnloadDocument"'));
    await vi.waitFor(() => expect(failures()).toHaveLength(time + 1), { timeout: 10_000 });
  }
});

/** A hub on a database, whose update log fails when a document leaves memory. */
async function createHub(write: (line: string) => void): Promise<Hub> {
  class ForgetfulLog extends UpdateLog {
    override forget(): never {
      throw new Error('broken');
    }
  }
  const database = await openStorage(await migratedStorage());
  const [log, metrics] = [createLog('warn', { write }), new Metrics()];
  const updateLog = new ForgetfulLog(database.committer, {
    limitBytes: 2 ** 20,
    events: { committed: (...args) => hub.committed(...args), full() {}, refused() {}, repeated() {} },
    log,
    metrics,
  });
  atTestEnd(() => updateLog.close());
  const hub = new Hub({
    store: new DocumentStore(database.queries, log, metrics),
    updateLog,
    access: new Access(allowEverybody, new Revocations()),
    onLoad: undefined,
    cluster: ALONE,
    onRevoked() {},
    onDeleted() {},
    limits: {
      authMs: 10_000,
      documents: 1,
      waitingBytes: 2 ** 20,
      allWaitingBytes: 2 ** 20,
      update: { structs: 100, clients: 100 },
      document: { documentBytes: 2 ** 20, pendingBytes: 2 ** 20, presence: { ids: 8, bytes: 1_000 } },
    },
    counts: new Limits({
      connections: 1,
      connectionsPerAddress: 1,
      connectionsPerDocument: 1,
      socket: { frames: 1_000, bytes: 2 ** 20 },
      user: { frames: 1_000, bytes: 2 ** 20 },
    }),
    log,
    metrics,
  });
  return hub;
}

/** A database as a server has left it. */
async function migratedStorage(): Promise<Storage> {
  const storage = await createStorage('postgres');
  await (await startServer(storage)).server.close();
  return storage;
}

/** Enough edits that folding is worth it, acked. */
async function typeLong(editor: Editor): Promise<void> {
  const EDITS = 150;
  // One after the other: what comes together is one row.
  for (let edit = 0; edit < EDITS; edit += 1) {
    editor.type(`${edit} `);
    expect(await editor.ack()).toBe(true);
  }
}
