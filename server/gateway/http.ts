import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Upgrade } from './upgrade.ts';

/**
 * Connections that may wait to be accepted. A crowd comes back within 200 ms of each other after a restart, and whom there is no
 * room for is heard again after 1 s or 3 s. The operating system has a limit too, mostly this one.
 */
const BACKLOG = 4_096;

/** The listening HTTP server, with its upgrades. */
export class Http {
  readonly #server: Server;

  /** @param maxConnections - of TCP, sockets included; those above are cut at once */
  constructor(listener: RequestListener, upgrade: Upgrade, maxConnections: number) {
    this.#server = createServer(listener);
    this.#server.maxConnections = maxConnections;
    this.#server.on('upgrade', (request, tcp, head) => void upgrade.handle(request, tcp, head));
  }

  /**
   * @returns the port that it listens on
   * @throws the error of the operating system, `EADDRINUSE` say
   */
  async listen(port: number, host: string): Promise<number> {
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen({ port, host, backlog: BACKLOG }, () => {
        this.#server.off('error', reject);
        resolve();
      });
    });
    return (this.#server.address() as AddressInfo).port;
  }

  /** Stops listening and cuts what is left. */
  async close(): Promise<void> {
    if (!this.#server.listening) return;
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    this.#server.closeAllConnections();
    await closed;
  }
}
