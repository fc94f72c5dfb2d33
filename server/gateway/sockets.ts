import { stagger, withDeadline } from '../lifecycle.ts';
import type { Socket } from './socket.ts';

/** How long a client may take to answer a close frame before its connection is cut. */
const CLOSE_PATIENCE_MS = 1_000;

/** All sockets of a server: one heartbeat timer for them all, pausing, draining. */
export class Sockets {
  readonly #open = new Set<Socket>();
  readonly #timer: NodeJS.Timeout;
  #isPaused = false;
  #onEmpty: (() => void) | undefined;

  /** @param heartbeatMs - milliseconds between pings */
  constructor(heartbeatMs: number) {
    this.#timer = setInterval(() => {
      for (const socket of this.#open) socket.beat();
    }, heartbeatMs);
    this.#timer.unref();
  }

  add(socket: Socket): void {
    this.#open.add(socket);
    if (this.#isPaused) socket.pause(true);
  }

  delete(socket: Socket): void {
    this.#open.delete(socket);
    if (this.#open.size === 0) this.#onEmpty?.();
  }

  /** Stops or goes on reading from all sockets, those to come included. */
  pause(isPaused: boolean): void {
    this.#isPaused = isPaused;
    for (const socket of this.#open) socket.pause(isPaused);
  }

  /** Closes all sockets with 1012 (restart), spread over `ms` milliseconds; resolves when they are gone. */
  async drain(ms: number): Promise<void> {
    await stagger([...this.#open], ms, (socket) => {
      socket.session.end('draining');
      // A socket that is not read cannot take part in closing; what else it sends is ignored.
      socket.pause(false);
    });
    if (this.#open.size === 0) return;
    const empty = new Promise<void>((resolve) => (this.#onEmpty = resolve));
    if ((await withDeadline(empty, CLOSE_PATIENCE_MS)) === 'late') this.terminate();
  }

  /** Cuts all connections. */
  terminate(): void {
    for (const socket of this.#open) socket.terminate();
  }

  close(): void {
    clearInterval(this.#timer);
    this.terminate();
  }
}
