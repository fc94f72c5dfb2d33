import type { AddressInfo } from 'node:net';
import { createDecoder, readVarUint } from 'lib0/decoding';
import { createEncoder, type Encoder, toUint8Array, writeVarUint } from 'lib0/encoding';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { type WebSocket as Socket, WebSocketServer } from 'ws';
import { messageYjsSyncStep1, readSyncMessage, writeSyncStep1 } from 'y-protocols/sync';
import { WebsocketProvider } from 'y-websocket';
import * as Y from 'yjs';
import { type Saves, trackSaves } from '../server/browser.ts';

/** Speaks the y-websocket protocol for one document, and answers frames when, and as, the test says. */
class AckingServer {
  readonly doc = new Y.Doc();
  /** What to answer: 1 committed, 0 refused, `hold` nothing until `release`. */
  answer: 0 | 1 | 'hold' = 1;
  /** Whether it asks a new client for what is missing here, and whether it tells a client what it asks for. */
  asks = true;
  tells = true;
  /** The acks that are held back. */
  owed = 0;
  readonly #server: WebSocketServer;
  readonly port: number;

  private constructor(server: WebSocketServer) {
    this.#server = server;
    this.port = (server.address() as AddressInfo).port;
    server.on('connection', (socket) => this.#serve(socket));
  }

  static async listen(port = 0): Promise<AckingServer> {
    const server = new WebSocketServer({ host: '127.0.0.1', port });
    await new Promise<void>((resolve) => server.once('listening', () => resolve()));
    return new AckingServer(server);
  }

  /** Sends this many of the acks that are held back. */
  release(count = this.owed, ack: 0 | 1 = 1): void {
    this.owed -= count;
    for (let i = 0; i < count; i += 1) this.#broadcast(new Uint8Array([8, ack]));
  }

  /** Asks every client once more for what is missing here. */
  askAgain(): void {
    this.#broadcast(frame((encoder) => writeSyncStep1(encoder, this.doc)));
  }

  /** Breaks every line; clients come back by themselves. */
  drop(): void {
    this.owed = 0;
    for (const socket of this.#server.clients) socket.terminate();
  }

  async close(): Promise<void> {
    this.drop();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }

  #broadcast(message: Uint8Array): void {
    for (const socket of this.#server.clients) socket.send(message);
  }

  #serve(socket: Socket): void {
    if (this.asks) socket.send(frame((encoder) => writeSyncStep1(encoder, this.doc)));
    socket.on('message', (data: Buffer) => {
      const decoder = createDecoder(data);
      if (readVarUint(decoder) !== 0) return;
      // A refused frame is read into a document that nobody looks at.
      let kind = 0;
      const target = this.answer === 0 ? new Y.Doc() : this.doc;
      const reply = frame((encoder) => (kind = readSyncMessage(decoder, encoder, target, socket)));
      if (reply.length > 1 && this.tells) socket.send(reply);
      if (kind === messageYjsSyncStep1) return;
      if (this.answer === 'hold') this.owed += 1;
      else socket.send(new Uint8Array([8, this.answer]));
    });
  }
}

function frame(write: (encoder: Encoder) => void): Uint8Array {
  const encoder = createEncoder();
  writeVarUint(encoder, 0);
  write(encoder);
  return toUint8Array(encoder);
}

let server: AckingServer;
const cleanups: (() => void)[] = [];

beforeEach(async () => {
  server = await AckingServer.listen();
});

afterEach(async () => {
  for (const cleanup of cleanups.splice(0)) cleanup();
  await server.close();
});

interface Client {
  doc: Y.Doc;
  provider: WebsocketProvider;
  saves: Saves;
}

function connect({ doc = new Y.Doc(), disableBc = true, port = server.port, unsaved = 0 } = {}): Client {
  const provider = new WebsocketProvider(`ws://127.0.0.1:${port}`, 'room', doc, {
    params: { acks: '1' },
    disableBc,
    maxBackoffTime: 20,
  });
  cleanups.push(() => provider.destroy());
  return { doc, provider, saves: trackSaves(provider, { unsaved }) };
}

async function connected(options: Parameters<typeof connect>[0] = {}): Promise<Client> {
  const client = connect(options);
  await reaches(client.saves, 'saved');
  return client;
}

function type(doc: Y.Doc, letters: string): void {
  for (const letter of letters) doc.getText('content').insert(doc.getText('content').length, letter);
}

const reaches = (saves: Saves, state: Saves['state']): Promise<void> =>
  vi.waitFor(() => expect(saves.state).toBe(state), { interval: 5 });

const owes = (count: number): Promise<void> =>
  vi.waitFor(() => expect(server.owed).toBe(count), { interval: 5 });

const text = (doc: Y.Doc): string => doc.getText('content').toJSON();

describe('edits on an open line', () => {
  test('[B1] an edit is unsaved until its ack arrives', async () => {
    const { doc, saves } = await connected();
    server.answer = 'hold';
    type(doc, 'a');
    expect([saves.state, saves.unsaved]).toEqual(['saving', 1]);
    await owes(1);
    expect([saves.state, saves.unsaved]).toEqual(['saving', 1]);
    server.release();
    await reaches(saves, 'saved');
    expect(saves.unsaved).toBe(0);
    expect(text(server.doc)).toBe('a');
  });

  test('[B2] each ack settles the oldest frame that waits for one', async () => {
    const { doc, saves } = await connected();
    server.answer = 'hold';
    type(doc, 'abc');
    await owes(3);
    server.release(2);
    await vi.waitFor(() => expect(saves.unsaved).toBe(1));
    expect(saves.state).toBe('saving');
    server.release(1);
    await reaches(saves, 'saved');
  });

  test('[B3] a refused edit is refused, not saved, whatever is acked after it', async () => {
    const { doc, saves } = await connected();
    server.answer = 'hold';
    type(doc, 'ab');
    await owes(2);
    server.release(1, 0);
    server.release(1, 1);
    await vi.waitFor(() => expect(saves.unsaved).toBe(0));
    expect([saves.state, saves.refused]).toEqual(['refused', 1]);
  });

  test('[B4] edits of others are not counted', async () => {
    const [one, two] = [await connected(), await connected()];
    server.answer = 'hold';
    type(one.doc, 'a');
    server.doc.once('update', () => server.drop()); // both come back, and `two` learns of the edit
    await vi.waitFor(() => expect(text(two.doc)).toBe('a'));
    expect(two.saves.unsaved).toBe(0);
  });
});

describe('a line that breaks', () => {
  test('[B5] edits without an ack are unsaved again, and the next step 2 covers them', async () => {
    const { doc, provider, saves } = await connected();
    server.answer = 'hold';
    type(doc, 'abc');
    await owes(3);
    provider.disconnect();
    expect([saves.state, saves.unsaved]).toEqual(['offline', 3]);
    server.drop();
    provider.connect();
    await owes(1);
    expect(saves.unsaved).toBe(3);
    await reaches(saves, 'saving');
    server.release();
    await reaches(saves, 'saved');
    expect(saves.unsaved).toBe(0);
  });

  test('[B6] edits made offline are counted, and saved by one step 2', async () => {
    const { doc, provider, saves } = await connected();
    provider.disconnect();
    type(doc, 'abc');
    expect([saves.state, saves.unsaved]).toEqual(['offline', 3]);
    server.answer = 'hold';
    provider.connect();
    await owes(1);
    type(doc, 'd');
    expect(saves.unsaved).toBe(4);
    await owes(2);
    server.release(1);
    await vi.waitFor(() => expect(saves.unsaved).toBe(1));
    server.release();
    await reaches(saves, 'saved');
    expect(text(server.doc)).toBe('abcd');
  });

  test('[B6] so are edits made while the socket closes', async () => {
    const { doc, provider, saves } = await connected();
    provider.ws?.close();
    type(doc, 'a');
    expect([saves.state, saves.unsaved]).toEqual(['saving', 1]);
    await reaches(saves, 'offline');
    expect(saves.unsaved).toBe(1);
    await reaches(saves, 'saved');
    expect(text(server.doc)).toBe('a');
  });

  test('[B7] it stays offline while the attempts to reconnect fail', async () => {
    const { provider, saves } = await connected();
    const seen = new Set<string>();
    saves.subscribe(() => seen.add(saves.state));
    await server.close();
    await vi.waitFor(() => expect(provider.wsUnsuccessfulReconnects).toBeGreaterThan(3));
    expect([...seen]).toEqual(['offline']);
    server = await AckingServer.listen(server.port);
    await reaches(saves, 'saved');
    expect(seen).toContain('syncing');
  });

  test('[B8] refused edits are offered again when the two sides sync again', async () => {
    const { doc, saves } = await connected();
    server.answer = 0;
    type(doc, 'ab');
    await vi.waitFor(() => expect(saves.refused).toBe(2));
    server.answer = 'hold';
    server.drop();
    await owes(1);
    await reaches(saves, 'saving');
    expect([saves.unsaved, saves.refused]).toEqual([2, 0]);
    server.release();
    await reaches(saves, 'saved');
    expect(text(server.doc)).toBe('ab');
  });
});

describe('step 2', () => {
  test('[B9] a resync on an open line owes one more ack, and covers what was refused', async () => {
    const { doc, saves } = await connected();
    server.answer = 0;
    type(doc, 'ab');
    await vi.waitFor(() => expect(saves.refused).toBe(2));
    server.answer = 'hold';
    server.askAgain();
    await owes(1);
    expect([saves.state, saves.unsaved, saves.refused]).toEqual(['saving', 2, 0]);
    server.release();
    await reaches(saves, 'saved');
    expect(text(server.doc)).toBe('ab');
  });

  test('[B10] a document with earlier content is not saved before its step 2 is acked', async () => {
    const doc = new Y.Doc();
    type(doc, 'from disk');
    server.answer = 'hold';
    const { saves } = connect({ doc });
    const seen: string[] = [];
    saves.subscribe(() => seen.push(saves.state));
    await owes(1);
    await reaches(saves, 'saving');
    expect(seen).not.toContain('saved');
    server.release();
    await reaches(saves, 'saved');
  });

  test('[B10] on no connection before the server has asked what it lacks', async () => {
    const { provider, saves } = await connected();
    server.asks = false;
    server.drop();
    await vi.waitFor(() => expect(saves.state).not.toBe('saved'));
    await vi.waitFor(() => expect(provider.synced).toBe(true));
    expect(saves.state).toBe('syncing');
    server.askAgain();
    await reaches(saves, 'saved');
  });

  test('[B10] on no connection before the server has told what it has', async () => {
    server.tells = false;
    server.answer = 'hold';
    const { provider, saves } = connect();
    await owes(1);
    server.release();
    server.askAgain(); // answered after the ack was read
    await owes(1);
    expect([provider.synced, saves.state]).toEqual([false, 'syncing']);
  });

  test('[B11] a refused step 2 counts as one edit at least', async () => {
    const doc = new Y.Doc();
    type(doc, 'from disk');
    server.answer = 0;
    const { saves } = connect({ doc });
    await reaches(saves, 'refused');
    expect(saves.refused).toBe(1);
  });
});

describe('an earlier visit', () => {
  test('[B16] what it left unsaved is counted until the first step 2 is acked', async () => {
    const doc = new Y.Doc();
    type(doc, 'abc');
    server.answer = 'hold';
    const { saves } = connect({ doc, unsaved: 3 });
    expect(saves.unsaved).toBe(3);
    await owes(1);
    expect(saves.unsaved).toBe(3);
    server.release();
    await reaches(saves, 'saved');
    expect(saves.unsaved).toBe(0);
  });
});

describe('other tabs', () => {
  test('[B12] what goes over BroadcastChannel owes no ack', async () => {
    const one = await connected({ disableBc: false });
    const two = await connected({ disableBc: false }); // asks `one` for its document over the channel
    server.answer = 'hold';
    type(one.doc, 'a');
    expect(text(two.doc)).toBe('a'); // over the channel: the server forwards nothing
    expect([one.saves.unsaved, two.saves.unsaved]).toEqual([1, 0]);
    expect(two.saves.state).toBe('saved');
    await owes(1);
    server.answer = 1;
    server.release(); // reaches both sockets; the ack that `two` does not wait for changes nothing
    await reaches(one.saves, 'saved');
    type(two.doc, 'b');
    expect([one.saves.unsaved, two.saves.unsaved]).toEqual([0, 1]);
    await reaches(two.saves, 'saved');
  });
});

describe('use', () => {
  test('[B13] without acks from the server it never says saved', async () => {
    server.answer = 'hold';
    const { doc, provider, saves } = connect();
    const seen = new Set<string>();
    saves.subscribe(() => seen.add(saves.state));
    expect(saves.state).toBe('connecting');
    await vi.waitFor(() => expect(provider.synced).toBe(true));
    type(doc, 'a');
    await owes(2);
    expect([...seen]).toEqual(['syncing', 'saving']);
  });

  test('[B14] it refuses a provider that does not ask for acks, or is connected already', async () => {
    const bare = new WebsocketProvider('ws://127.0.0.1', 'room', new Y.Doc(), { connect: false });
    expect(() => trackSaves(bare)).toThrow("params: { acks: '1' }");
    bare.destroy();
    const { provider } = await connected();
    expect(() => trackSaves(provider)).toThrow('before it connects');
  });

  test('[B15] after destroy the provider works on, quietly', async () => {
    const { doc, saves } = await connected();
    const error = vi.spyOn(console, 'error');
    cleanups.push(() => error.mockRestore());
    const listener = vi.fn<() => void>();
    saves.subscribe(listener);
    saves.destroy();
    server.answer = 'hold';
    type(doc, 'a');
    await owes(1);
    server.release();
    server.askAgain();
    await owes(1);
    expect(text(server.doc)).toBe('a');
    expect(listener).not.toHaveBeenCalled();
    expect(error).not.toHaveBeenCalled();
  });
});
