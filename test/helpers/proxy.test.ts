import { once } from 'node:events';
import { type AddressInfo, Socket, createServer } from 'node:net';
import { expect, test, vi } from 'vitest';
import { atTestEnd } from './cleanup.ts';
import { createSignal, until } from './deadline.ts';
import { freePort } from './ports.ts';
import { startProxy } from './proxy.ts';

/** More than the buffers of the system between two ends take. */
const LARGE = 32 * 1024 * 1024;

/** One end of a line, and what has happened there. */
class End {
  readonly socket: Socket;
  readonly #changed = createSignal();
  #bytes: Buffer[] = [];
  #hasEnded = false;
  #closed: { error: string | undefined } | undefined;

  constructor(socket: Socket) {
    this.socket = socket;
    atTestEnd(() => socket.destroy());
    let error: string | undefined;
    socket.on('error', (thrown: NodeJS.ErrnoException) => (error = thrown.code));
    socket.on('data', (chunk: Buffer) => {
      this.#bytes.push(chunk);
      this.#changed.fire();
    });
    socket.on('end', () => {
      this.#hasEnded = true;
      this.#changed.fire();
    });
    socket.on('close', () => {
      this.#closed = { error };
      this.#changed.fire();
    });
  }

  get text(): string {
    return Buffer.concat(this.#bytes).toString();
  }

  get received(): number {
    return this.#bytes.reduce((sum, { byteLength }) => sum + byteLength, 0);
  }

  /** The other side says no more, and may still listen. */
  get hasEnded(): boolean {
    return this.#hasEnded;
  }

  get isClosed(): boolean {
    return this.#closed !== undefined;
  }

  /** Holds when exactly this text has come. */
  reads(text: string): Promise<void> {
    return this.#until(`'${text}'`, () => this.text === text);
  }

  ended(): Promise<void> {
    return this.#until('its end', () => this.#hasEnded);
  }

  /** Holds when it is closed; tells the error, if it was by one. */
  async closed(): Promise<string | undefined> {
    await this.#until('its close', () => this.isClosed);
    return this.#closed?.error;
  }

  #until(what: string, check: () => boolean): Promise<void> {
    const stands = () => `${what}: it got ${this.received} bytes, ended: ${this.#hasEnded}`;
    return until({ what: stands, check, signal: this.#changed });
  }
}

/** A server with a name that waits to be spoken to. */
async function startTarget() {
  const ends: End[] = [];
  const came = createSignal();
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    ends.push(new End(socket));
    came.fire();
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  atTestEnd(() => server.close());
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    ends,
    async end(index: number): Promise<End> {
      await until({ what: () => `line ${index}`, check: () => ends.length > index, signal: came });
      return ends[index] as End;
    },
  };
}

async function connectTo(url: string): Promise<End> {
  const { port, hostname } = new URL(url);
  const socket = new Socket({ allowHalfOpen: true });
  const end = new End(socket);
  socket.connect(Number(port), hostname);
  await once(socket, 'connect');
  return end;
}

/** A line through a proxy over which something has gone already, both ways. */
async function open() {
  const target = await startTarget();
  const proxy = await startProxy(target.url);
  const near = await connectTo(proxy.url);
  near.socket.write('up ');
  const far = await target.end(0);
  far.socket.write('down ');
  await Promise.all([far.reads('up '), near.reads('down ')]);
  return { target, proxy, near, far };
}

/** Holds when all that the event loop and the system had to deliver between sockets of this process is there. */
async function delivered(): Promise<void> {
  const { near, far } = await open();
  near.socket.write('?');
  await far.reads('up ?');
}

test('[T18] it passes on bytes and ends, each way for itself, and no faster than they are read', async () => {
  const { near, far } = await open();
  near.socket.end('and out');
  await far.reads('up and out');
  await far.ended();
  expect(near.hasEnded).toBe(false);
  far.socket.pause();
  const isWritten = vi.fn<() => void>();
  near.socket.pause();
  far.socket.write(Buffer.alloc(LARGE), isWritten);
  await delivered();
  expect(isWritten, 'nobody reads').not.toHaveBeenCalled();
  near.socket.resume();
  far.socket.end();
  await near.ended();
  expect(near.received).toBe('down '.length + LARGE);
});

test('[T18] an end that is reset resets the other, and a server that is not there does', async () => {
  const one = await open();
  one.near.socket.resetAndDestroy();
  expect(await one.far.closed()).toBe('ECONNRESET');
  const other = await open();
  other.far.socket.resetAndDestroy();
  expect(await other.near.closed()).toBe('ECONNRESET');
  const proxy = await startProxy(`http://127.0.0.1:${await freePort()}`);
  expect(await (await connectTo(proxy.url)).closed()).toBe('ECONNRESET');
});

test('[T18] its URL is that of the server, whatever the scheme and the path', async () => {
  const { url } = await startTarget();
  const proxy = await startProxy(`${url.replace('http', 'postgresql')}/notes?a=b`);
  expect(proxy.url).toMatch(/^postgresql:\/\/127\.0\.0\.1:\d+\/notes\?a=b$/);
  expect(proxy.url).not.toContain(new URL(url).port);
});

test('[T18] delayed, a piece takes its time, in both directions, and nothing is out of order', async () => {
  const { proxy, near, far } = await open();
  proxy.slow({ delayMs: 150 });
  const since = performance.now();
  near.socket.write('one ');
  await far.reads('up one ');
  far.socket.write('two');
  await near.reads('down two');
  expect(performance.now() - since).toBeGreaterThan(295);
  near.socket.write('three ');
  await delivered();
  expect(far.text).toBe('up one ');
  proxy.heal();
  near.socket.write('four');
  await far.reads('up one three four');
});

test('[T18] at a limited rate bytes take their time', async () => {
  const { proxy, near, far } = await open();
  proxy.slow({ bytesPerSecond: 1_000_000 });
  const since = performance.now();
  near.socket.end(Buffer.alloc(300_000));
  await far.ended();
  expect(far.received).toBe('up '.length + 300_000);
  expect(performance.now() - since).toBeGreaterThan(295);
});

test('[T18] in a black hole nothing passes, ends and new lines neither; healed, everything does', async () => {
  const { target, proxy, near, far } = await open();
  const ending = await connectTo(proxy.url);
  const ended = await target.end(1);
  proxy.blackHole();
  near.socket.write('lost? ');
  far.socket.write('lost?');
  ending.socket.destroy();
  const late = await connectTo(proxy.url);
  late.socket.write('is anybody there?');
  await delivered();
  expect([far.text, near.text]).toEqual(['up ', 'down ']);
  expect([ended.hasEnded, ended.isClosed]).toEqual([false, false]);
  expect(target.ends).toHaveLength(2);

  proxy.heal();
  await Promise.all([far.reads('up lost? '), near.reads('down lost?'), ended.ended()]);
  await (await target.end(2)).reads('is anybody there?');
});

test('[T18] reset, all lines break for both ends, and new ones work', async () => {
  const { target, proxy, near, far } = await open();
  proxy.reset();
  expect([await near.closed(), await far.closed()]).toEqual(['ECONNRESET', 'ECONNRESET']);
  const again = await connectTo(proxy.url);
  again.socket.write('again');
  await (await target.end(1)).reads('again');
});

test.each(['up', 'down'] as const)(
  '[T18] half closed (%s), one end hears that the other has ended, which is heard still',
  async (direction) => {
    const { proxy, near, far } = await open();
    proxy.halfClose(direction);
    const [told, other] = direction === 'up' ? [far, near] : [near, far];
    await told.ended();
    told.socket.write('still here');
    await vi.waitFor(() => expect(other.text).toContain('still here'));
    other.socket.write('and I');
    await delivered();
    expect(told.text).not.toContain('and I');
    expect(other.hasEnded).toBe(false);
  },
);

test.each(['up', 'down'] as const)(
  '[T18] cut after so many bytes (%s), a line breaks for both ends once these have passed',
  async (direction) => {
    const { target, proxy, near, far } = await open();
    const [from, to] = direction === 'up' ? [near, far] : [far, near];
    const before = to.text;
    const cut = proxy.cutAfter(direction, 7);
    from.socket.write('abcd');
    await to.reads(`${before}abcd`);
    // The other direction does not count.
    to.socket.write('0123456789');
    await vi.waitFor(() => expect(from.text).toContain('0123456789'));
    from.socket.write('efghij');
    await cut;
    expect([await near.closed(), await far.closed()]).toEqual(['ECONNRESET', 'ECONNRESET']);
    expect(to.text).toBe(`${before}abcdefg`);
    const again = await connectTo(proxy.url);
    again.socket.write('a line of another day');
    await (await target.end(1)).reads('a line of another day');
  },
);

test.each(['up', 'down'] as const)(
  '[T18] half closed after so many bytes (%s), a line ends there for who receives, who is heard still',
  async (direction) => {
    const { target, proxy, near, far } = await open();
    const [from, to] = direction === 'up' ? [near, far] : [far, near];
    const before = to.text;
    const halfClosed = proxy.halfCloseAfter(direction, 7);
    from.socket.write('abcdefghij');
    await halfClosed;
    await to.ended();
    expect(to.text).toBe(`${before}abcdefg`);
    const heard = from.text;
    to.socket.write('still here');
    await from.reads(`${heard}still here`);
    from.socket.write('and I');
    await delivered();
    expect(to.text).toBe(`${before}abcdefg`);
    expect(from.hasEnded).toBe(false);
    const again = await connectTo(proxy.url);
    again.socket.write('a line of another day');
    await (await target.end(1)).reads('a line of another day');
  },
);

test('[T18] cut after as many bytes as a piece has, or after none, a line breaks with that piece', async () => {
  const whole = await open();
  const cut = whole.proxy.cutAfter('up', 4);
  whole.near.socket.write('abcd');
  await cut;
  await whole.far.closed();
  expect(whole.far.text).toBe('up abcd');
  const none = await open();
  const lost = none.proxy.cutAfter('down', 0);
  none.near.socket.write('a question');
  await none.far.reads('up a question');
  none.far.socket.write('its answer');
  await lost;
  expect(await none.near.closed()).toBe('ECONNRESET');
  expect(none.near.text).toBe('down ');
});

test('[T18] cut after bytes of several lines together, the one that brings the last of them breaks', async () => {
  const { target, proxy, near, far } = await open();
  const other = await connectTo(proxy.url);
  const cut = proxy.cutAfter('up', 10);
  near.socket.write('12345');
  await far.reads('up 12345');
  other.socket.write('1234567890');
  await cut;
  await other.closed();
  expect((await target.end(1)).text).toBe('12345');
  near.socket.write('6');
  await far.reads('up 123456');
});

test('[T18] retargeted, new lines go to another server, and the old ones stay', async () => {
  const { target, proxy, near, far } = await open();
  const other = await startTarget();
  proxy.retarget(other.url);
  const moved = await connectTo(proxy.url);
  moved.socket.write('moved');
  await (await other.end(0)).reads('moved');
  near.socket.write('stayed');
  await far.reads('up stayed');
  expect(target.ends).toHaveLength(1);
});

test('[T18] severed, lines end for the clients; for the server they are silent until they are released', async () => {
  const { target, proxy, near, far } = await open();
  proxy.sever();
  await near.ended();
  far.socket.write('into the void');
  const again = await connectTo(proxy.url);
  again.socket.write('again');
  await (await target.end(1)).reads('again');
  expect([far.hasEnded, far.isClosed]).toEqual([false, false]);
  proxy.release();
  await far.ended();
  again.socket.write(' and on');
  await (await target.end(1)).reads('again and on');
});
