import { once } from 'node:events';
import { type AddressInfo, Socket, createServer } from 'node:net';
import { atTestEnd } from './cleanup.ts';
import { freePort } from './ports.ts';

/** What a line does to everything that goes over it, in both directions. */
interface Slowness {
  /** Milliseconds that every piece of data takes. */
  delayMs?: number;
  bytesPerSecond?: number;
}

/** Towards the server, or towards the client. */
type Direction = 'up' | 'down';

/** A TCP proxy in front of a server, for all that goes wrong between the two. Faults are for the lines to come, too. */
export interface Proxy {
  /** Of the server, with the proxy's host and port. */
  url: string;
  /** Lines that are open. */
  readonly count: number;
  /** New lines go to another server. */
  retarget(url: string): void;
  slow(slowness: Slowness): void;
  /**
   * Nothing passes any more, ends of lines neither, until it is healed; then all of it does, as with packets that are sent
   * again and again. Maybe in one direction only.
   */
  blackHole(direction?: Direction | 'both'): void;
  /** Neither slow nor a black hole. */
  heal(): void;
  /**
   * Resets the line over which the last of so many bytes goes in this direction from now on, all lines counted together. The
   * bytes up to there pass, and none after them: with 0 it is the next piece, all of which is lost. Holds when it is done.
   */
  cutAfter(direction: Direction, bytes: number): Promise<void>;
  /** The same, but the line is half closed there: who receives is told that the other has ended, which is heard no more. */
  halfCloseAfter(direction: Direction, bytes: number): Promise<void>;
  /** Resets all open lines, for both ends. */
  reset(): void;
  /** Tells the server (`up`) or the client (`down`) that the other has ended, which has not. */
  halfClose(direction: Direction): void;
  /** Ends the open lines for the clients; for the server they stay open, and silent. */
  sever(): void;
  /** Ends for the server, too, what was severed. */
  release(): void;
}

/** @param target - URL of the server */
export async function startProxy(target: string): Promise<Proxy> {
  let { port, hostname } = new URL(target);
  const lines = new Set<Line>();
  const severed = new Set<Line>();
  const faults = new Faults();
  const server = createServer({ allowHalfOpen: true }, (near) => {
    const line = new Line(near, { port: Number(port), host: hostname }, faults);
    lines.add(line);
    line.onEnd(() => lines.delete(line));
  });
  // The port of the system's choice might be one that a server under test comes back to.
  server.listen(await freePort(), '127.0.0.1');
  await once(server, 'listening');
  const release = () => {
    for (const line of severed) line.far.destroy();
    severed.clear();
  };
  atTestEnd(() => {
    for (const line of [...lines, ...severed]) line.destroy();
    server.close();
  });
  const url = new URL(target);
  url.host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    url: target.endsWith('/') ? url.href : url.href.replace(/\/$/, ''),
    get count() {
      return lines.size;
    },
    retarget(to) {
      ({ port, hostname } = new URL(to));
    },
    slow: (slowness) => faults.set({ slowness }),
    blackHole: (direction = 'both') => faults.set({ hole: direction }),
    heal: () => faults.set({}),
    cutAfter: (direction, bytes) => faults.breakAfter(direction, bytes, 'reset'),
    halfCloseAfter: (direction, bytes) => faults.breakAfter(direction, bytes, 'half close'),
    reset() {
      for (const line of lines) line.reset();
    },
    halfClose(direction) {
      for (const { near, far } of lines) (direction === 'up' ? far : near).end();
    },
    sever() {
      for (const line of lines) {
        lines.delete(line);
        severed.add(line);
        line.sever();
      }
    },
    release,
  };
}

/** What becomes of one line once so many bytes have passed. */
interface Break {
  readonly direction: Direction;
  bytes: number;
  readonly how: 'reset' | 'half close';
  readonly done: () => void;
}

/** What is wrong at this moment. */
class Faults {
  slowness: Slowness = {};
  #hole: { direction: Direction | 'both'; healed: PromiseWithResolvers<void> } | undefined;
  #break: Break | undefined;

  set({ slowness = {}, hole }: { slowness?: Slowness; hole?: Direction | 'both' }): void {
    this.slowness = slowness;
    const before = this.#hole;
    this.#hole = hole === undefined ? undefined : { direction: hole, healed: Promise.withResolvers() };
    // What waits looks again.
    before?.healed.resolve();
  }

  breakAfter(direction: Direction, bytes: number, how: Break['how']): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#break = { direction, bytes, how, done: resolve };
    return promise;
  }

  /** Counts bytes; when their line is to break tells how many of them pass before, and how. */
  breakOf(direction: Direction, bytes: number): Readonly<Break> | undefined {
    const next = this.#break;
    if (next?.direction !== direction) return undefined;
    if (bytes < next.bytes) {
      next.bytes -= bytes;
      return undefined;
    }
    this.#break = undefined;
    return next;
  }

  /** Holds while nothing passes. */
  async passable(direction: Direction): Promise<void> {
    while (this.#hole !== undefined && ['both', direction].includes(this.#hole.direction)) {
      await this.#hole.healed.promise;
    }
  }

  async takeTime(bytes: number): Promise<void> {
    const { delayMs = 0, bytesPerSecond = Infinity } = this.slowness;
    const ms = delayMs + (bytes / bytesPerSecond) * 1000;
    if (ms > 0) await new Promise((resolve) => setTimeout(resolve, ms));
  }
}

/** One connection through the proxy. */
class Line {
  /** To the client. */
  readonly near: Socket;
  /** To the server. */
  readonly far: Socket;
  readonly #faults: Faults;
  #isSevered = false;

  constructor(near: Socket, server: { port: number; host: string }, faults: Faults) {
    this.near = near;
    this.far = new Socket({ allowHalfOpen: true });
    this.#faults = faults;
    for (const socket of [near, this.far]) socket.on('error', () => {});
    // None of them rejects.
    void this.#open(server);
    void this.#pump('up', near, this.far);
    void this.#pump('down', this.far, near);
  }

  /** Calls the listener when both ends are closed. */
  onEnd(listener: () => void): void {
    const look = () => {
      if (this.near.closed && this.far.closed) listener();
    };
    for (const socket of [this.near, this.far]) socket.once('close', look);
  }

  /** A server does not hear of those who ask for it in a black hole. */
  async #open(server: { port: number; host: string }): Promise<void> {
    await this.#faults.passable('up');
    if (!this.far.destroyed) this.far.connect(server);
  }

  /** Passes on what arrives, piece by piece, so that who sends feels who does not read. */
  async #pump(direction: Direction, from: Socket, to: Socket): Promise<void> {
    try {
      for await (const chunk of from as AsyncIterable<Buffer>) await this.#pass(direction, to, chunk);
      await this.#faults.passable(direction);
      to.end();
    } catch {
      // It was reset or refused, or its end was.
      await this.#faults.passable(direction);
      if (!this.#isSevered) to.resetAndDestroy();
    }
  }

  async #pass(direction: Direction, to: Socket, chunk: Buffer): Promise<void> {
    await this.#faults.takeTime(chunk.byteLength);
    await this.#faults.passable(direction);
    // What was severed is read on, as a kernel would, and goes nowhere.
    if (to.destroyed || to.writableEnded) return;
    const end = this.#faults.breakOf(direction, chunk.byteLength);
    if (end !== undefined) {
      // What was written is with the kernel, which delivers it before the reset.
      await new Promise((resolve) => to.write(chunk.subarray(0, end.bytes), resolve));
      if (end.how === 'reset') this.reset();
      else to.end();
      end.done();
    } else if (!to.write(chunk)) await drained(to);
  }

  reset(): void {
    this.near.resetAndDestroy();
    this.far.resetAndDestroy();
  }

  sever(): void {
    this.#isSevered = true;
    this.near.destroy();
  }

  destroy(): void {
    this.near.destroy();
    this.far.destroy();
  }
}

/** Holds when a socket has written what waited, or is closed. Rejects when it fails. */
async function drained(socket: Socket): Promise<void> {
  const waiting = new AbortController();
  try {
    await Promise.race([once(socket, 'drain', waiting), once(socket, 'close', waiting)]);
  } finally {
    // Listeners would pile up.
    waiting.abort();
  }
}
