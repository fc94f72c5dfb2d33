import { randomUUID } from 'node:crypto';
import { inject } from 'vitest';
import type { ServerOptions } from '../../server/index.ts';
import { readinessBecomes } from './readiness.ts';
import { type TestServer, startServer } from './server.ts';
import { createStorage } from './storage.ts';

/** Channels that nobody else uses. */
export function ownPrefix(): string {
  return `test-${randomUUID()}`;
}

/** What instances of one cluster have in common. */
export async function clusterOptions(options: ServerOptions = {}): Promise<ServerOptions> {
  const storage = options.databaseUrl === undefined ? await createStorage('postgres') : {};
  return { redisUrl: [inject('redisUrl')], redisPrefix: ownPrefix(), ...storage, ...options };
}

/** So many instances on one database and one Redis, in this process, which reach each other. */
export async function startInstances(count: number, options: ServerOptions = {}): Promise<TestServer[]> {
  const common = await clusterOptions(options);
  return Promise.all(Array.from({ length: count }, () => startInstance(common)));
}

/** One more; it reaches Redis. */
export async function startInstance(options: ServerOptions): Promise<TestServer> {
  const instance = await startServer(options);
  await readinessBecomes(instance.url, { code: 200, status: 'ready' });
  return instance;
}
