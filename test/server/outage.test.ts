import { expect, test, vi } from 'vitest';
import { joinAs, textOf } from '../helpers/editor.ts';
import { valueOf } from '../helpers/metrics.ts';
import { startPostgres } from '../helpers/postgres.ts';
import { readiness, readinessBecomes } from '../helpers/readiness.ts';
import { startServer } from '../helpers/server.ts';
import { openStorage, rebuild } from '../helpers/storage.ts';

const EDITS = 150;
const EDIT_BYTES = 200_000;

test.each(['frozen', 'stopped'] as const)(
  '[L4] while Postgres is %s people go on editing together, nothing is acked, and commits resume by themselves',
  async (how) => {
    const cluster = await startPostgres();
    const { url } = await startServer({ databaseUrl: cluster.url });
    const [one, two] = [
      await joinAs('y-websocket', url, 'outage/room'),
      await joinAs('hocuspocus', url, 'outage/room'),
    ];
    one.type('before ');
    expect(await one.ack()).toBe(true);
    await two.ask();

    if (how === 'frozen') cluster.freeze();
    else await cluster.stop('immediate');
    one.type('during ');
    await two.client.next('update');
    expect(textOf(await two.ask())).toBe('before during ');
    await readinessBecomes(url, { code: 503, status: 'unready', database: 'away' });
    expect(one.acks()).toHaveLength(1);

    if (how === 'frozen') cluster.thaw();
    else await cluster.start();
    expect(await one.ack(20_000)).toBe(true);
    await readinessBecomes(url, { code: 200 });
    const stored = await rebuild(await openStorage({ databaseUrl: cluster.url }), 'outage/room');
    expect(stored && textOf(stored)).toBe('before during ');
  },
  60_000,
);

test('[L5] a full queue stops the reading of sockets; when the database is back everything is committed', async () => {
  const cluster = await startPostgres();
  const { url } = await startServer({ databaseUrl: cluster.url, limitQueueBytes: 20_000 });
  const editor = await joinAs('y-websocket', url, 'outage/full');
  editor.type('warm');
  expect(await editor.ack()).toBe(true);
  cluster.freeze();

  const queued = () => valueOf(url, 'indelible_queue_bytes');
  for (let edit = 0; edit < EDITS; edit += 1) editor.type('x'.repeat(EDIT_BYTES));
  await vi.waitFor(async () => expect(await queued()).toBeGreaterThan(20_000));
  const full = await queued();
  // More than all buffers of the system between the two: if the server read on, they would become empty.
  expect(full).toBeLessThan((EDITS * EDIT_BYTES) / 2);
  const late = await joinAs('y-websocket', url, 'outage/full');
  late.type('from somebody who comes later');
  await vi.waitFor(async () => {
    expect(editor.client.socket.bufferedAmount).toBeGreaterThan(0);
    expect(await queued(), 'nothing more was read').toBe(full);
  });

  cluster.thaw();
  for (let ack = 0; ack < EDITS; ack += 1) expect(await editor.ack(30_000)).toBe(true);
  expect(await late.ack(30_000)).toBe(true);
  const stored = await rebuild(await openStorage({ databaseUrl: cluster.url }), 'outage/full');
  expect(stored && textOf(stored).length).toBe(
    'warm'.length + EDITS * EDIT_BYTES + 'from somebody who comes later'.length,
  );
}, 90_000);

test('[D4] a document that is opened while the database is away opens by itself when it is back', async () => {
  const cluster = await startPostgres();
  const { url } = await startServer({ databaseUrl: cluster.url });
  await cluster.stop('immediate');
  const [one, two] = [
    await joinAs('y-websocket', url, 'outage/cold'),
    await joinAs('hocuspocus', url, 'outage/cold'),
  ];
  one.type('typed while it was away');
  await vi.waitFor(async () => expect(await readiness(url)).toMatchObject({ code: 503 }));
  await cluster.start();
  expect(await one.ack(20_000)).toBe(true);
  expect(textOf(await two.ask())).toBe('typed while it was away');
}, 60_000);

test('[D4] one that was being opened while the server stops is refused', async () => {
  const cluster = await startPostgres();
  const { server, url } = await startServer({ databaseUrl: cluster.url, shutdownMs: 2_000 });
  await cluster.stop('immediate');
  const editor = await joinAs('y-websocket', url, 'outage/never');
  await server.close();
  expect((await editor.client.closed()).code).toBe(1012);
});
