import { once } from 'node:events';
import { type AddressInfo, type Socket, connect, createServer } from 'node:net';
import { atTestEnd } from './cleanup.ts';

/** A TCP proxy in front of a server, for lines of which one end breaks before the other notices. */
export interface Proxy {
  url: string;
  /** Breaks the open lines for the clients; for the server they stay open, and silent. */
  sever(): void;
  /** Ends for the server, too, what was severed. */
  release(): void;
}

export async function startProxy(target: string): Promise<Proxy> {
  const { port, hostname } = new URL(target);
  const lines = new Set<{ near: Socket; far: Socket }>();
  const severed = new Set<Socket>();
  const server = createServer((near) => {
    const far = connect(Number(port), hostname);
    const line = { near, far };
    lines.add(line);
    for (const socket of [near, far]) socket.on('error', () => {});
    near.pipe(far);
    far.pipe(near);
    near.on('close', () => {
      lines.delete(line);
      if (!severed.has(far)) far.destroy();
    });
    far.on('close', () => near.destroy());
  });
  const release = () => {
    for (const far of severed) far.destroy();
    severed.clear();
  };
  const sever = () => {
    for (const { near, far } of lines) {
      severed.add(far);
      near.unpipe(far);
      // Read on, as a kernel would.
      far.unpipe(near).resume();
      near.destroy();
    }
  };
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  atTestEnd(() => {
    for (const { near, far } of lines) for (const socket of [near, far]) socket.destroy();
    release();
    server.close();
  });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, sever, release };
}
