import { once } from 'node:events';
import { type AddressInfo, type Socket, connect, createServer } from 'node:net';
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
  /** Resets the next line on which so many bytes have gone in this direction from now on, and lets those pass. */
  cutAfter(direction: Direction, bytes: number): Promise<void>;
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
    const line = new Line(near, connect({ port: Number(port), host: hostname, allowHalfOpen: true }), faults);
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
    for (const line of lines) line.destroy();
    release();
    server.close();
  });
  const url = new URL(target);
  url.host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    url: target.endsWith('/') ? url.href : url.href.replace(/\/$/, ''),
    retarget(to) {
      ({ port, hostname } = new URL(to));
    },
    slow: (slowness) => faults.set({ slowness }),
    blackHole: (direction = 'both') => faults.set({ hole: direction }),
    heal: () => faults.set({}),
    cutAfter: (direction, bytes) => faults.cutAfter(direction, bytes),
    reset() {
      for (const line of lines) line.reset();
    },
    halfClose(direction) {
      for (const { near, far } of lines) (direction === 'up' ? far : near).end();
    },
    sever() {
      for (const line of lines) {
        severed.add(line);
        line.sever();
      }
    },
    release,
  };
}

/** What is wrong at this moment. */
class Faults {
  slowness: Slowness = {};
  #hole: { direction: Direction | 'both'; healed: PromiseWithResolvers<void> } | undefined;
  #cut: { direction: Direction; bytes: number; done: () => void } | undefined;

  set({ slowness = {}, hole }: { slowness?: Slowness; hole?: Direction | 'both' }): void {
    this.slowness = slowness;
    const before = this.#hole;
    this.#hole = hole === undefined ? undefined : { direction: hole, healed: Promise.withResolvers() };
    // What waits looks again.
    before?.healed.resolve();
  }

  cutAfter(direction: Direction, bytes: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#cut = { direction, bytes, done: resolve };
    return promise;
  }

  /** How many of these bytes may pass before their line is to be reset; all of them, as a rule. */
  allowance(direction: Direction, bytes: number): number {
    const cut = this.#cut;
    if (cut?.direction !== direction) return bytes;
    if (bytes <= cut.bytes) {
      cut.bytes -= bytes;
      return bytes;
    }
    this.#cut = undefined;
    cut.done();
    return cut.bytes;
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

  constructor(near: Socket, far: Socket, faults: Faults) {
    this.near = near;
    this.far = far;
    this.#faults = faults;
    for (const socket of [near, far]) socket.on('error', () => {});
    // Neither rejects.
    void this.#pump('up', near, far);
    void this.#pump('down', far, near);
  }

  onEnd(listener: () => void): void {
    this.near.once('close', listener);
  }

  /** Passes on what arrives, piece by piece, so that who sends feels who does not read. */
  async #pump(direction: Direction, from: Socket, to: Socket): Promise<void> {
    try {
      for await (const chunk of from as AsyncIterable<Buffer>) await this.#pass(direction, to, chunk);
      await this.#faults.passable(direction);
      to.end();
    } catch {
      // It was reset, or its end was.
      await this.#faults.passable(direction);
      if (!this.#isSevered) to.destroy();
    }
  }

  async #pass(direction: Direction, to: Socket, chunk: Buffer): Promise<void> {
    await this.#faults.takeTime(chunk.byteLength);
    await this.#faults.passable(direction);
    // What was severed is read on, as a kernel would, and goes nowhere.
    if (to.destroyed || to.writableEnded) return;
    const bytes = this.#faults.allowance(direction, chunk.byteLength);
    if (bytes < chunk.byteLength) to.write(chunk.subarray(0, bytes), () => this.reset());
    else if (!to.write(chunk)) await Promise.race([once(to, 'drain'), once(to, 'close')]);
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
