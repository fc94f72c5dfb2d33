import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:net';

/** Above the ports that services are usually found on, below 32768, where the system's ephemeral ports begin. */
const FIRST_PORT = 20_000;
const LAST_PORT = 29_999;

/** Ports in between that people know: RabbitMQ, Sentinel, MongoDB, RethinkDB. */
const KNOWN_PORTS = new Set([25_672, 26_379, 27_017, 27_018, 27_019, 28_015]);

const ATTEMPTS = 100;

/** A loopback port that nobody listens on. Picked at random, so that test files running side by side do not meet. */
export async function freePort(): Promise<number> {
  for (let attempt = 0; attempt < ATTEMPTS; attempt += 1) {
    const port = randomInt(FIRST_PORT, LAST_PORT + 1);
    if (!KNOWN_PORTS.has(port) && (await isFree(port))) return port;
  }
  throw new Error(`no free port between ${FIRST_PORT} and ${LAST_PORT} in ${ATTEMPTS} attempts`);
}

async function isFree(port: number): Promise<boolean> {
  // A client that is trying to get its own server back on this port would wait for an answer for ever.
  const server = createServer((connection) => connection.destroy());
  try {
    server.listen(port, '127.0.0.1');
    await once(server, 'listening');
    return true;
  } catch {
    return false;
  } finally {
    server.close();
  }
}
