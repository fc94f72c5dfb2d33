import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import {
  type IncomingMessage,
  type RequestOptions,
  type ServerResponse,
  createServer,
  request,
} from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { promisify } from 'node:util';
import { beforeAll, describe, expect, inject, test, vi } from 'vitest';
import { BALANCERS, findBalancer, shipped, startBalancer } from '../helpers/balancers.ts';
import { atTestEnd } from '../helpers/cleanup.ts';
import { connectHocuspocus, connectYWebsocket } from '../helpers/clients.ts';
import { within } from '../helpers/deadline.ts';
import { textOf } from '../helpers/editor.ts';
import { valueOf } from '../helpers/metrics.ts';
import { freePort } from '../helpers/ports.ts';
import { HANDSHAKE } from '../helpers/raw-http.ts';
import { spawnServer, startServer } from '../helpers/server.ts';
import { createStorage, openStorage, rebuild } from '../helpers/storage.ts';

const run = promisify(execFile);

/** What a stand-in for an instance was asked. */
interface Asked {
  url: string;
  headers: Record<string, string>;
  bytes: number;
}

/** Something that answers every request, upgrades too, with its name and with what it was asked. */
async function startStandIn(name: string): Promise<string> {
  return listen(async (asked, response) => {
    const { url, headers } = asked;
    const { length: bytes } = await text(asked);
    response.setHeader('X-Instance', name).end(JSON.stringify({ url, headers, bytes }));
  });
}

async function listen(
  answer: (asked: IncomingMessage, response: ServerResponse) => Promise<void>,
): Promise<string> {
  const server = createServer((asked, response) => void answer(asked, response)).listen(0, '127.0.0.1');
  await once(server, 'listening');
  atTestEnd(() => server.close());
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

async function standIns(): Promise<[string, string]> {
  return [await startStandIn('one'), await startStandIn('two')];
}

interface Answer {
  status: number | undefined;
  /** Which stand-in has answered; undefined when none was asked. */
  instance: string | undefined;
  body: string;
}

/** The answer to a request, or to an upgrade, whose path goes out as it stands, which a URL would not let it. */
async function ask(url: string, path: string, options: RequestOptions = {}, body = ''): Promise<Answer> {
  const { hostname, port } = new URL(url);
  const asking = request({ hostname, port, path, agent: false, ...options });
  asking.end(body);
  const answered = once(asking, 'response') as Promise<[IncomingMessage]>;
  const upgraded = once(asking, 'upgrade') as Promise<[IncomingMessage, Socket]>;
  const [response, socket] = await Promise.race([answered, upgraded]);
  socket?.destroy();
  const { statusCode: status, headers } = response;
  const said = socket === undefined ? await text(response) : '';
  return { status, instance: headers['x-instance']?.toString(), body: said };
}

const SOCKET = { headers: { ...HANDSHAKE } };

const NAMES = [
  'notes',
  'notes/today',
  'notes/history',
  'history',
  'a/b/c/d',
  'Grüße aus/Köln',
  '100%',
  'one+one',
  'what?/no#1',
  'api/documents/notes',
  ...Array.from({ length: 50 }, (_, index) => `many/${index}`),
];

/** Every way to ask for a document: the path, and how. */
function waysTo(name: string): [path: string, options: RequestOptions][] {
  const encoded = encodeURIComponent(name);
  const plain = name.split('/').map(encodeURIComponent).join('/');
  return [
    [`/${plain}`, SOCKET],
    [`/${encoded}`, SOCKET],
    [`/${encoded.replaceAll('%2F', '%2f')}`, SOCKET],
    [`/${plain}?acks=1&token=a.b.c`, SOCKET],
    [`/api/documents/${encoded}`, {}],
    [`/api/documents/${encoded}`, { method: 'PUT' }],
    [`/api/documents/${encoded}?at=12`, {}],
    [`/api/documents/${encoded}/history`, {}],
    [`/api/documents/${encoded}/history/12?at=1/2`, {}],
  ];
}

describe.each(BALANCERS)('%s', (kind) => {
  // It may have to be installed.
  beforeAll(() => findBalancer(kind));

  test('[Z1] a document is at one instance, however its name is written and whoever asks, and documents are at both', async () => {
    const { url } = await startBalancer(kind, await standIns());
    const homes: (string | undefined)[] = [];
    for (const name of NAMES) {
      const seen = new Set<string | undefined>();
      for (const [path, options] of waysTo(name)) {
        const { instance, body } = await ask(url, path, options);
        seen.add(instance);
        expect((JSON.parse(body) as Asked).url).toBe(path);
      }
      expect([...seen], name).toHaveLength(1);
      homes.push(...seen);
    }
    // The hash is of names and of ports, and the ports of a test are random ones.
    for (const instance of ['one', 'two']) {
      expect(homes.filter((home) => home === instance).length).toBeGreaterThan(NAMES.length / 10);
    }
  });

  test('[Z2] Hocuspocus sockets go to the instance that has the fewest', async () => {
    const { servers, url } = await startInstances(kind);
    for (let count = 1; count <= 3; count += 1) {
      for (const index of [0, 1]) await connectHocuspocus(url, `many/${count} ${index}`).synced();
      for (const server of servers) expect(await socketsOf(server, 'hocuspocus')).toBe(count);
    }
  });

  test('[Z3] what is asked arrives as it was sent, with who has sent it', async () => {
    const { url } = await startBalancer(kind, await standIns());
    const headers = { Host: 'notes.example.org:8443', 'X-Forwarded-For': '203.0.113.9' };
    const large = 'x'.repeat(2_000_000);
    const { body } = await ask(url, '/api/documents/a%2fb?x=%2F', { method: 'PUT', headers }, large);
    expect(JSON.parse(body)).toMatchObject({
      url: '/api/documents/a%2fb?x=%2F',
      headers: { host: 'notes.example.org:8443', 'x-forwarded-for': '203.0.113.9, 127.0.0.1' },
      bytes: large.length,
    });
    const upgrade = await ask(url, '/notes/today', {
      headers: { ...HANDSHAKE, Origin: 'https://example.org' },
    });
    expect(JSON.parse(upgrade.body)).toMatchObject({
      headers: {
        upgrade: 'websocket',
        connection: expect.stringMatching(/^upgrade$/i),
        'sec-websocket-key': HANDSHAKE['Sec-WebSocket-Key'],
        origin: 'https://example.org',
      },
    });
  });

  test('[Z3] nothing waits for what comes after it', async () => {
    const begun = Promise.withResolvers<void>();
    const instance = await listen(async (asked, response) => {
      response.write('first ');
      await once(asked, 'data');
      begun.resolve();
      await text(asked);
      response.end('last');
    });
    const { hostname, port } = new URL((await startBalancer(kind, [instance, instance])).url);
    const asking = request({ hostname, port, path: '/api/documents/notes', method: 'PUT', agent: false });
    asking.write('first');
    await within(() => 'a request, before its end', begun.promise);
    const answered = once(asking, 'response') as Promise<[IncomingMessage]>;
    const [response] = await within(() => 'an answer, before the end of its request', answered);
    const [first] = await within(() => 'its beginning, before its end', once(response, 'data'));
    expect(String(first)).toBe('first ');
    asking.end();
    expect(await text(response)).toBe('last');
  });

  test('[Z4] /metrics is shown to nobody, however it is written, and a document may have that name', async () => {
    const { url: instance } = await startServer();
    const { url } = await startBalancer(kind, [instance, instance]);
    expect((await ask(instance, '/metrics')).body).toContain('indelible_connections');
    const { Connection: _connection, ...halfUpgrade } = HANDSHAKE;
    const ways: [path: string, options?: RequestOptions][] = [
      ['/metrics'],
      ['/metrics?x=1'],
      ['/metrics#x'],
      ['/%6Detrics'],
      ['/%6d%65trics'],
      ['//metrics'],
      ['/./metrics'],
      ['/x/../metrics'],
      ['/x/%2e%2E/metrics'],
      ['/x/..%2Fmetrics'],
      ['/api/documents/../../metrics'],
      [`${url}/metrics`],
      ['/metrics', { method: 'HEAD' }],
      ['/metrics', { headers: halfUpgrade }],
      ['/metrics', { headers: { Connection: 'Upgrade', Upgrade: 'h2c' } }],
      ['/metrics', { headers: { Connection: 'Upgrade', Upgrade: 'nothing, websocket' } }],
      ['/metrics', { headers: { Connection: 'close, Upgrade', Upgrade: 'h2c' } }],
    ];
    for (const [path, options] of ways) {
      const { status, body } = await ask(url, path, options);
      expect(status, path).not.toBe(200);
      expect(body, path).not.toContain('indelible_');
    }
    await connectYWebsocket(url, 'metrics').synced();
  });

  test.for([
    ['killed', 'SIGKILL'],
    ['stopped', 'SIGTERM'],
  ] as const)(
    '[Z5] when an instance is %s its editors go on at the other one, and everything is acknowledged and stored',
    { timeout: 60_000 },
    async ([, signal]) => {
      const { storage, servers, url } = await startInstances(kind);
      // Two people in one document, once with its slash as it is; and one on each of two Hocuspocus sockets.
      const together = [
        connectYWebsocket(url, 'deploy/notes', { acks: true }),
        connectYWebsocket(url, encodeURIComponent('deploy/notes'), { acks: true }),
      ];
      const everybody = [...together, connectHocuspocus(url, 'deploy/one')];
      const type = async (words: string) => {
        for (const [index, { doc }] of everybody.entries()) {
          doc.getText('content').insert(0, `${words} of ${index}; `);
        }
      };
      await Promise.all(everybody.map((client) => client.synced()));
      everybody.push(connectHocuspocus(url, 'deploy/two'));
      await everybody.at(-1)?.synced();
      await type('before');
      await Promise.all(everybody.map((client) => client.saved()));
      const here = await Promise.all(servers.map((server) => socketsOf(server, 'y-websocket')));
      expect(here).toContain(0);
      expect(here).toContain(2);
      const [home, other] = here[0] === 2 ? servers : [servers[1], servers[0]];
      for (const server of servers) expect(await socketsOf(server, 'hocuspocus')).toBe(1);

      const gone = home.kill(signal, 30_000);
      await type('meanwhile');
      await Promise.all(together.map((client) => client.closed()));
      await Promise.all(everybody.map((client) => client.saved(20_000)));
      await gone;
      await type('after');
      await Promise.all(everybody.map((client) => client.saved()));

      const [anna, ben] = together as [(typeof together)[0], (typeof together)[0]];
      await anna.sees((doc) => textOf(doc) === textOf(ben.doc));
      for (const words of ['before', 'meanwhile', 'after']) {
        for (const index of [0, 1]) expect(textOf(anna.doc)).toContain(`${words} of ${index}; `);
      }
      expect(await socketsOf(other, 'y-websocket')).toBe(2);
      expect(await socketsOf(other, 'hocuspocus')).toBe(2);
      const database = await openStorage(storage);
      const names = ['deploy/notes', 'deploy/notes', 'deploy/one', 'deploy/two'];
      for (const [index, { doc }] of everybody.entries()) {
        const stored = await rebuild(database, names[index] ?? '');
        expect(stored === null ? null : textOf(stored)).toBe(textOf(doc));
      }
    },
  );

  test('[Z6] a token in a URL is not in the log, and an instance that is away is not noticed', async () => {
    const away = `http://127.0.0.1:${await freePort()}`;
    const { url, log } = await startBalancer(kind, [await startStandIn('one'), away]);
    const names = NAMES.slice(0, 10).map((name) => encodeURIComponent(name));
    for (const name of names) {
      expect((await ask(url, `/${name}?token=confidential`, SOCKET)).instance).toBe('one');
    }
    await vi.waitFor(async () => {
      const logged = (await log()).split('\n').filter((line) => line.includes('GET'));
      expect(logged.length).toBeGreaterThanOrEqual(names.length);
    });
    expect(await log()).not.toContain('confidential');
  });
});

test('[Z9] the configuration of HAProxy for Kubernetes differs from the other one only in where instances are, and both are sound', async () => {
  const kubernetes = await shipped('kubernetes/haproxy.cfg', {});
  expect(withoutInstances(kubernetes)).toBe(withoutInstances(await shipped('haproxy.cfg', {})));

  const directory = await mkdtemp(join(tmpdir(), 'indelible-test-'));
  atTestEnd(() => rm(directory, { recursive: true, force: true }));
  const path = join(directory, 'haproxy.cfg');
  // Debian's is older than that word, and than the one that the manifests name.
  await writeFile(path, kubernetes.replaceAll(' hash-key addr', ''));
  const { stdout } = await run(await findBalancer('haproxy'), ['-c', '-f', path], {
    env: { ...process.env, NAMESPACE: 'default' },
  });
  expect(stdout).toContain('Configuration file is valid');
}, 120_000);

function withoutInstances(configuration: string): string {
  const resolvers = /(?:^# .*\n)?^resolvers .*\n(?:.+\n)+\n/m;
  const server = /(?:^ +# .*\n)?^ +server(?:-template)? .*\n/gm;
  return configuration.replace(resolvers, '').replaceAll(server, '');
}

/** Milliseconds; the default of the setting. */
const DRAIN_MS = 3_000;

type Instance = Awaited<ReturnType<typeof spawnServer>>;

/** Two real ones on one database, and nginx or HAProxy in front of them. */
async function startInstances(kind: (typeof BALANCERS)[number]) {
  const storage = await createStorage('postgres');
  const env = {
    DRAIN_MS: `${DRAIN_MS}`,
    REDIS_URL: inject('redisUrl'),
    REDIS_PREFIX: `deploy-${crypto.randomUUID()}`,
  };
  const servers: [Instance, Instance] = [await spawnServer(storage, env), await spawnServer(storage, env)];
  const { url } = await startBalancer(kind, [servers[0].url, servers[1].url]);
  return { storage, servers, url };
}

function socketsOf({ url }: Instance, protocol: 'y-websocket' | 'hocuspocus'): Promise<number> {
  return valueOf(url, 'indelible_connections', { protocol });
}
