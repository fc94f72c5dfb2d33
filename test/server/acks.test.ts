import { describe, expect, test } from 'vitest';
import * as Y from 'yjs';
import { PROTOCOLS, joinAs, textOf, typist, updateOf } from '../helpers/editor.ts';
import { startPostgres } from '../helpers/postgres.ts';
import { startServer } from '../helpers/server.ts';
import { createStorage, openStorage, rebuild } from '../helpers/storage.ts';
import { SECRET } from '../helpers/tokens.ts';
import { mintToken } from '../../server/auth/tokens.ts';

const tokenFor = (access: 'read' | 'write') =>
  mintToken(SECRET, { sub: access, access: { 'acks/*': access } }, 60);

async function rowCount(storage: Awaited<ReturnType<typeof createStorage>>): Promise<number> {
  const database = await openStorage(storage);
  const { rows } = await database.queries.query<{ count: number }>(
    'select count(*)::int as count from indelible.updates',
  );
  return rows[0]?.count ?? -1;
}

describe.each(PROTOCOLS)('acks over %s', (protocol) => {
  test('[A1] an acked edit is in the database', async () => {
    const storage = await createStorage('postgres');
    const { url } = await startServer(storage);
    const editor = await joinAs(protocol, url, 'acks/one');
    editor.type('hello');
    expect(await editor.ack()).toBe(true);
    const stored = await rebuild(await openStorage(storage), 'acks/one');
    expect(stored && textOf(stored)).toBe('hello');
  });

  test('[A2] each update and each step 2 is answered once, in order', async () => {
    const { url } = await startServer();
    const editor = await joinAs(protocol, url, 'acks/count');
    for (let edit = 0; edit < 50; edit += 1) {
      editor.type(`${edit} `);
      if (edit % 5 === 0) editor.send(Y.encodeStateAsUpdate(editor.doc), 'step2');
    }
    for (let ack = 0; ack < 60; ack += 1) expect(await editor.ack()).toBe(true);
    // Answered after everything before it: no ack is still to come.
    expect(textOf(await editor.ask())).toBe(textOf(editor.doc));
    expect(editor.acks()).toHaveLength(60);
  });

  test('[A4] a frame that brings nothing new is acked, and leaves no row', async () => {
    const storage = await createStorage('postgres');
    const { url } = await startServer(storage);
    const editor = await joinAs(protocol, url, 'acks/nothing');
    const update = editor.type('once');
    editor.send(update);
    editor.send(update, 'step2');
    editor.send(Y.encodeStateAsUpdate(new Y.Doc()), 'step2');
    for (let ack = 0; ack < 4; ack += 1) expect(await editor.ack()).toBe(true);
    expect(await rowCount(storage)).toBe(1);
  });

  test('[A5] an update whose predecessors are missing is acked, survives a restart, and takes effect later', async () => {
    const storage = await createStorage('postgres');
    const first = await startServer(storage);
    const editor = await joinAs(protocol, first.url, 'acks/pending');
    const doc = new Y.Doc();
    const updates: Uint8Array[] = [];
    doc.on('update', (update: Uint8Array) => updates.push(update));
    for (const letter of ['a', 'b', 'c'])
      doc.getText('content').insert(doc.getText('content').length, letter);
    const [a, b, c] = updates as [Uint8Array, Uint8Array, Uint8Array];
    editor.send(c);
    editor.send(b);
    expect([await editor.ack(), await editor.ack()]).toEqual([true, true]);
    expect(textOf(await editor.ask())).toBe('');
    await first.server.close();

    const second = await startServer(storage);
    const later = await joinAs(protocol, second.url, 'acks/pending');
    later.send(a);
    expect(await later.ack()).toBe(true);
    expect(textOf(await later.ask())).toBe('abc');
  });

  test('[A6] bytes that do not decode are neither acked nor logged, and close their own socket with 4400', async () => {
    const storage = await createStorage('postgres');
    const { url } = await startServer(storage);
    const [editor, other] = [
      await joinAs(protocol, url, 'acks/garbage'),
      await joinAs(protocol, url, 'acks/garbage'),
    ];
    other.type('good');
    expect(await other.ack()).toBe(true);
    editor.send(updateOf('cut short').slice(0, -4));
    expect(await editor.client.closed()).toEqual({ code: 4400, reason: 'bad_update' });
    expect(editor.acks()).toEqual([]);
    other.type(' still');
    expect(await other.ack()).toBe(true);
    expect(await rowCount(storage)).toBe(2);
    expect(textOf(await other.ask())).toBe('good still');
  });

  test('[A7] a reader changes nothing, and is acked for an answer with nothing new', async () => {
    const storage = await createStorage('postgres');
    const { url } = await startServer({ ...storage, jwtSecret: SECRET });
    const writer = await joinAs(protocol, url, 'acks/reader', await tokenFor('write'));
    writer.type('written');
    expect(await writer.ack()).toBe(true);

    const reader = await joinAs(protocol, url, 'acks/reader', await tokenFor('read'));
    reader.send(Y.encodeStateAsUpdate(writer.doc), 'step2');
    expect(await reader.ack(), 'step 2 with nothing new').toBe(true);
    reader.type('scribbled');
    expect(await reader.ack(), 'update').toBe(false);
    reader.send(Y.encodeStateAsUpdate(reader.doc), 'step2');
    expect(await reader.ack(), 'step 2 with something new').toBe(false);
    const orphan = orphanUpdate();
    reader.send(orphan);
    expect(await reader.ack(), 'update without predecessors').toBe(false);
    reader.send(orphan, 'step2');
    expect(await reader.ack(), 'step 2 without predecessors').toBe(false);
    expect(textOf(await writer.ask())).toBe('written');
    expect(await rowCount(storage)).toBe(1);
  });
});

test('[A3] an ack waits for the edits of others that the document holds', async () => {
  const cluster = await startPostgres();
  const { url } = await startServer({ databaseUrl: cluster.url });
  const [writer, other] = [
    await joinAs('y-websocket', url, 'acks/others'),
    await joinAs('hocuspocus', url, 'acks/others'),
  ];
  writer.type('warm');
  expect(await writer.ack()).toBe(true);
  await other.ask();
  cluster.freeze();
  const update = writer.type(' uncommitted');
  await other.client.next('update');
  // The other client brings what the document holds already: new to nobody, but not committed either.
  other.send(Y.mergeUpdates([Y.encodeStateAsUpdate(writer.doc), update]), 'step2');
  const read = textOf(await other.ask());
  expect(read, 'the server has handled the frame before this answer').toBe('warm uncommitted');
  expect(other.acks()).toEqual([]);
  expect(writer.acks()).toEqual([true]);
  cluster.thaw();
  expect(await other.ack(20_000)).toBe(true);
  expect(await writer.ack(20_000)).toBe(true);
});

/** An update that needs another, which nobody has. */
function orphanUpdate(): Uint8Array {
  const type = typist();
  type('missing');
  return type('orphan');
}
